"""The report for people: one page of HTML, in one language, from the JSON document. Core.

It asks for nothing from anywhere: no script, no font, no picture. It prints on A4. The page shows
what matters most; ``report.json`` beside it has everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edge.report import charts
from edge.report.charts import Cell
from edge.report.markup import (
    STYLE,
    bad,
    bullets,
    date,
    detail,
    duration,
    grade,
    moment,
    note,
    percent,
    section,
    table,
)
from edge.report.words import ACTIONS, KPIS, OUTCOMES, REASONS, SEVERITIES, Language, Words
from retention.kpi import Kpi

#: Rows of a table on the page.
SHOWN_MAX = 40


def page(document: Mapping[str, Any], language: Language) -> str:
    """The whole page."""
    one = _Page(document, Words(language))
    say = one.words.say
    title = f"{document['site']['name']} {say('录像留存证明报告', 'Evidence of video retention')}"
    sections = [
        one.summary(),
        one.by_camera(),
        one.completeness(),
        one.kept(),
        one.clocks(),
        one.deletions(),
        one.holds(),
        one.access(),
        one.alarms(),
        one.register(),
        one.proof(),
    ]
    return (
        f'<!doctype html>\n<html lang="{"zh-CN" if language == "zh" else "en"}"><head>'
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{one.head()}</header>"
        f"<main>{''.join(sections)}</main></body></html>\n"
    )


class _Page:
    def __init__(self, document: Mapping[str, Any], words: Words) -> None:
        self._document = document
        self.words = words
        self._names = {one["id"]: one["name"] for one in document["cameras"]}

    def head(self) -> str:
        document, say = self._document, self.words.say
        site = document["site"]
        facts = [
            (say("期间", "Period"), f"{date(document['from'])} – {moment(document['to'])}"),
            (say("生成", "Made"), f"{moment(document['made'])}, {document['tool']}"),
            (
                say("保存要求", "Required"),
                say(
                    f"不少于 {site['min_days']} 天，{site['max_days']} 天后删除",
                    f"{site['min_days']} days at least, deleted after {site['max_days']}",
                ),
            ),
            (say("依据", "Basis"), site["basis"] or "-"),
        ]
        if not document["edge_running"]:
            away = say("未运行，部分现状未测", "not running; what only it knows is not told")
            facts.append((say("录像服务", "Recorder"), away))
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
        return f"<dl class='facts'>{rows}</dl>"

    # KPIs ------------------------------------------------------------------------------------

    def summary(self) -> str:
        cards = "".join(
            f"<div class='card {grade(ratio)}'><b>{percent(ratio, self.words)}</b>"
            f"<span>{escape(self.words.of(KPIS, kpi))}</span></div>"
            for kpi in Kpi
            for ratio in [self._document["kpis"][kpi.value]["ratio"]]
        )
        say = self.words.say
        text = say(
            "各摄像机等权平均；未测不计入。图像完好率自诊断启用以来累计。",
            "Mean of the cameras, each counted alike; what was not measured does not count."
            " Picture normal is since the diagnosis was first started.",
        )
        return section(say("指标", "Key figures"), f"<div class='cards'>{cards}</div>{note(text)}")

    def by_camera(self) -> str:
        say = self.words.say
        head = [say("摄像机", "Camera"), *(self.words.of(KPIS, kpi) for kpi in Kpi)]
        rows = [
            [
                self._camera(one["id"]),
                *(
                    f"<span class='{grade(ratio)}'>{percent(ratio, self.words)}</span>"
                    for kpi in Kpi
                    for ratio in [one["kpis"][kpi.value]["ratio"]]
                ),
            ]
            for one in self._document["cameras"]
        ]
        return section(say("各摄像机指标", "By camera"), table(head, rows, is_number=True))

    # Completeness ----------------------------------------------------------------------------

    def completeness(self) -> str:
        say, cameras = self.words.say, self._document["cameras"]
        dates = [day["date"] for day in cameras[0]["days"]] if cameras else []
        rows = {self._label(one["id"]): [self._cell(day) for day in one["days"]] for one in cameras}
        signs = (
            say("完整", "complete"),
            "≥ 99.9 %",
            "≥ 99 %",
            "≥ 90 %",
            "< 90 %",
        )
        legend = "".join(
            f"<span><i style='background:{colour};color:{charts.ink_on(colour)}'>{sign}</i>"
            f"{escape(text)}</span>"
            for (_, colour, sign), text in zip(charts.LEVELS, signs, strict=True)
        )
        legend += (
            f"<span><i style='background:{charts.NOTHING}'></i>{say('无应录', 'not due')}</span>"
        )
        plot = charts.strips(dates, rows, say("每日录像完整率", "completeness by day"))
        total: dict[str, float] = {}
        for one in cameras:
            for cause, seconds in one["missing_seconds"].items():
                total[cause] = total.get(cause, 0) + seconds
        ordered = sorted(total.items(), key=lambda pair: -pair[1])
        is_long = any(seconds >= 3600 for seconds in total.values())
        unit_s, unit = (3600, say("小时", "h")) if is_long else (60, say("分钟", "min"))
        causes = {self.words.cause(cause): seconds / unit_s for cause, seconds in ordered}
        by_cause = (
            charts.bars(causes, unit, say("缺口原因", "causes of gaps"))
            if causes
            else note(say("没有缺口。", "There are no gaps."))
        )
        return section(
            say("录像完整性", "Completeness"),
            f"<p class='legend'>{legend}</p>{plot}"
            f"<h3>{say('缺失时长，按原因', 'Time missing, by cause')}</h3>{by_cause}"
            f"<h3>{say('最长的缺口', 'The longest gaps')}</h3>{self._gaps()}",
        )

    def _cell(self, day: Mapping[str, Any]) -> Cell:
        ratio = day["ratio"]
        causes = ", ".join(
            f"{self.words.cause(cause)} {seconds:.0f} s"
            for cause, seconds in day["missing_seconds"].items()
        )
        return Cell(ratio=ratio, title=f"{day['date']} {percent(ratio, self.words)} {causes}")

    def _gaps(self) -> str:
        say = self.words.say
        every = [
            (gap["seconds"], one["id"], gap)
            for one in self._document["cameras"]
            for gap in one["gaps"]["rows"]
        ]
        every.sort(key=lambda item: -item[0])
        count = sum(one["gaps"]["count"] for one in self._document["cameras"])
        rows = [
            [
                self._camera(camera),
                moment(gap["start"]),
                moment(gap["end"]),
                duration(seconds),
                escape(self.words.cause(gap["cause"])),
            ]
            for seconds, camera, gap in every[:SHOWN_MAX]
        ]
        head = [
            say("摄像机", "Camera"),
            say("开始", "From"),
            say("结束", "To"),
            say("时长", "Length"),
            say("原因", "Cause"),
        ]
        return table(head, rows) + self._left_out(count, len(rows))

    # Days kept, clocks -----------------------------------------------------------------------

    def kept(self) -> str:
        say, cameras = self.words.say, self._document["cameras"]
        values = {self._label(one["id"]): one["kept"]["days"] or 0.0 for one in cameras}
        floor = self._document["site"]["min_days"]
        young = [
            f"{self._camera(one['id'])}: {say('历史未满，应录自', 'not yet mature, due since')}"
            f" {date(one['due_from'])}"
            for one in cameras
            if not one["mature"] and one["due_from"]
        ]
        plot = charts.bars(
            values,
            say("天", "days"),
            say("最早录像距今天数", "age of the oldest footage"),
            (floor, say(f"下限 {floor} 天", f"floor {floor} days")),
        )
        retention = self._document["retention"]
        ahead = ""
        if retention is not None and retention["forecast_days"] is not None:
            days = f"{retention['forecast_days']:.0f}"
            ahead = note(
                say(
                    f"按目前码率，存储可保存 {days} 天。{retention['risk']}",
                    f"At the present rate these disks hold {days} days. {retention['risk']}",
                )
            )
        return section(
            say("保存天数", "Days kept"), f"{plot}{ahead}{bullets(young) if young else ''}"
        )

    def clocks(self) -> str:
        say, document = self.words.say, self._document
        lines = {
            self._label(one["id"]): {
                night["date"]: night["seconds"] for night in one["clock_offsets"]
            }
            for one in document["cameras"]
            if one["clock_offsets"]
        }
        dates = sorted({date for offsets in lines.values() for date in offsets})
        limit = document["clock_limit_seconds"]
        plot = (
            charts.dots(dates, lines, limit, say("摄像机时钟偏差", "offsets of camera clocks"))
            if dates
            else note(say("期间内没有夜间测量。", "No night was measured in the period."))
        )
        now = document["clock"]["now"]
        state = say("未测", "not measured")
        if now is not None:
            trusted = say("可信", "trusted") if now["trusted"] else say("不可信", "NOT trusted")
            reason = say(now["reason_zh"], now["reason_en"])
            offsets = ", ".join(
                f"{source} {offset:+.3f} s" for source, offset in now["offsets_seconds"].items()
            )
            state = f"{trusted} ({reason}) {offsets}"
        stretches = [
            [
                moment(one["start"]),
                escape(self.words.cause(one["cause"])),
                say("已知", "known") if one["known"] else say("未知", "unknown"),
                "-" if one["moved_seconds"] is None else f"{one['moved_seconds']:+.1f} s",
            ]
            for one in document["clock"]["stretches"]["rows"][-SHOWN_MAX:]
        ]
        head = [
            say("本机时钟走时自", "Clock of the box, from"),
            say("起因", "Begun by"),
            say("时间", "Its time is"),
            say("事后更正", "Put right by"),
        ]
        return section(
            say("时钟", "Clocks"),
            f"<p>{say('本机', 'The box')}: {escape(state)}</p>{plot}{table(head, stretches)}"
            f"<h3>{say('夜间自检', 'Nightly self-checks')}</h3>{self._nights()}",
        )

    def _nights(self) -> str:
        say, nights = self.words.say, self._document["nights"]
        failed = [night for night in nights if not night["passed"]]
        passed = len(nights) - len(failed)
        told = say(
            f"{len(nights)} 晚中 {passed} 晚通过。",
            f"{passed} of {len(nights)} nights were passed.",
        )
        if not failed:
            return note(told)
        names = ("complete", "missing", "check_failed", "played", "not_played", "clocks_off")
        rows = [
            [night["date"], *(str(night.get(name, "-")) for name in names)]
            for night in failed[-SHOWN_MAX:]
        ]
        head = [
            say("未通过的日期", "Not passed"),
            say("完整", "Complete"),
            say("缺失", "Missing"),
            say("检查失败", "Failed"),
            say("可回放", "Played"),
            say("不可回放", "Not played"),
            say("时钟不准", "Clocks off"),
        ]
        return note(told) + table(head, rows, is_number=True)

    # What was done ---------------------------------------------------------------------------

    def deletions(self) -> str:
        say, told = self.words.say, self._document["deletions"]
        by_day = {day: size / 1e9 for day, size in told["bytes_by_day"].items()}
        plot = (
            charts.columns(by_day, "GB", say("每日删除", "deleted by day"))
            if by_day
            else note(say("期间内没有删除。", "Nothing was deleted in the period."))
        )
        head = [
            say("原因", "Reason"),
            say("删除记录", "Tombstones"),
            say("录像段", "Segments"),
            say("容量", "Size"),
        ]
        rows = [
            [
                escape(self.words.of(REASONS, reason)),
                f"{one['tombstones']:,}",
                f"{one['segments']:,}",
                f"{one['bytes'] / 1e9:,.2f} GB",
            ]
            for reason, one in told["by_reason"].items()
        ]
        breaches = told["breaches"]
        lost = [
            [
                self._camera(one["camera"]),
                moment(one["from"]),
                moment(one["to"]),
                moment(one["deleted"]),
                str(one["journal"]),
            ]
            for one in breaches["rows"][-SHOWN_MAX:]
        ]
        lost_head = [
            say("摄像机", "Camera"),
            say("录像开始", "Footage from"),
            say("录像结束", "to"),
            say("删除于", "Deleted"),
            say("账目号", "Journal"),
        ]
        worst = (
            f"<h3 class='bad'>{say('未满下限被删', 'Deleted under the floor')}</h3>"
            f"{table(lost_head, lost)}{self._left_out(breaches['count'], len(lost))}"
            if breaches["count"]
            else note(say("没有未满下限的删除。", "Nothing was deleted under the floor."))
        )
        return section(
            say("删除", "Deletions"), f"{plot}{table(head, rows, is_number=True)}{worst}"
        )

    def holds(self) -> str:
        say = self.words.say
        rows = [
            [
                escape(hold["id"][:8]),
                self._camera(hold["camera"]),
                f"{moment(hold['from'])} – {moment(hold['to'])}",
                escape(hold["case"]),
                escape(f"{hold['requester']} {hold['unit']}".strip()),
                escape(hold["reason"]),
                moment(hold["released"]) if hold["released"] else say("保留中", "held"),
            ]
            for hold in self._document["holds"][-SHOWN_MAX:]
        ]
        head = [
            say("编号", "Number"),
            say("摄像机", "Camera"),
            say("范围", "Range"),
            say("案号", "Case"),
            say("申请人", "Requester"),
            say("事由", "Reason"),
            say("解除", "Released"),
        ]
        none = note(say("没有保留。", "There are no holds."))
        return section(say("法定保留", "Legal holds"), table(head, rows) if rows else none)

    def access(self) -> str:
        say, told = self.words.say, self._document["access"]
        counts = ", ".join(
            f"{escape(self.words.of(ACTIONS, action))} {count:,}"
            for action, count in told["actions"].items()
        )
        shown = told["rows"][-SHOWN_MAX:][::-1]
        rows = [
            [
                moment(one["at"]),
                escape(one["actor"]),
                escape(self.words.of(ACTIONS, one["action"])),
                escape(one["subject"]),
                escape(self.words.of(OUTCOMES, one["outcome"])),
                escape(detail(one["detail"])),
            ]
            for one in shown
        ]
        head = [
            say("时间", "When"),
            say("人员", "Who"),
            say("行为", "What"),
            say("对象", "Of what"),
            say("结果", "Outcome"),
            say("详情", "Detail"),
        ]
        return section(
            say("访问登记", "Access register"),
            f"<p>{counts or '-'}</p>{table(head, rows)}{self._left_out(told['count'], len(rows))}",
        )

    def alarms(self) -> str:
        say, told = self.words.say, self._document["alarms"]
        shown = told["rows"][-SHOWN_MAX:][::-1]
        rows = [
            [
                moment(one["since"]),
                moment(one["until"]) if one["until"] else bad(say("未结束", "stands")),
                escape(self.words.of(SEVERITIES, str(one["severity"]))),
                escape(self.words.alarm(str(one["code"]))),
                escape(str(one["subject"])),
                escape(str(one["reason"] or "")),
            ]
            for one in shown
        ]
        head = [
            say("开始", "From"),
            say("结束", "To"),
            say("级别", "Severity"),
            say("告警", "Alarm"),
            say("对象", "Of what"),
            say("原因", "Reason"),
        ]
        none = note(say("期间内没有告警。", "There was no alarm in the period."))
        body = table(head, rows) + self._left_out(told["count"], len(rows)) if rows else none
        return section(say("告警", "Alarms"), body)

    # Register and proof ----------------------------------------------------------------------

    def register(self) -> str:
        say = self.words.say
        rows = [
            [
                self._camera(one["id"]),
                escape(one["gb_id"] or "-"),
                say("合格", "valid")
                if one["archive"]["valid"]
                else bad(say("不合格", "NOT valid")),
                escape(
                    "; ".join(
                        say(found["zh"], f"{found['field']}: {found['en']}")
                        for found in one["archive"]["findings"]
                    )
                ),
            ]
            for one in self._document["cameras"]
        ]
        head = [
            say("摄像机", "Camera"),
            say("国标编码", "National code"),
            say("一机一档", "Register"),
            say("问题", "Findings"),
        ]
        return section(say("一机一档", "Register of cameras"), table(head, rows))

    def proof(self) -> str:
        say, document = self.words.say, self._document
        chains = [
            [
                self._camera(one["id"]),
                f"{one['chain']['segments']:,}" if one["chain"] else "-",
                moment(one["chain"]["signed"]) if one["chain"] else "-",
                f"<code>{one['chain']['link']}</code>" if one["chain"] else "-",
            ]
            for one in document["cameras"]
        ]
        chain_head = [
            say("摄像机", "Camera"),
            say("链上段数", "Segments in its chain"),
            say("签名于", "Signed"),
            say("末端", "Its end"),
        ]
        logs = [
            [
                escape(one["service"]),
                say("完好", "sound") if one["sound"] else bad(say("不符", "NOT sound")),
                f"{one['records']:,}",
                f"{one['anchored_seq']:,} / {one['last_seq']:,}",
                escape("; ".join(one["findings"])) + self._lost(one["lost_seq"]),
            ]
            for one in document["audit"]
        ]
        log_head = [
            say("审计日志", "Audit log"),
            say("校验", "Verified"),
            say("记录数", "Records"),
            say("已锚定", "Anchored"),
            say("问题", "Findings"),
        ]
        how = say(
            "本文件夹由录像机的密钥签名：运行 python3 verify.py，或 xueliang verify 本文件夹。"
            "heads.json 为当时链与账目的末端；由外人保存，日后可证明此前的记录未被重签："
            "xueliang verify --camera … --witness heads.json。",
            "This folder is signed with the recorder's key: run python3 verify.py, or xueliang"
            " verify on it. heads.json tells where chains and journal ended; kept by somebody"
            " else, it will prove that nothing before was signed anew: xueliang verify"
            " --camera … --witness heads.json.",
        )
        return section(
            say("证据", "Proof"),
            f"{table(chain_head, chains)}{table(log_head, logs)}{note(how)}",
        )

    # Words of a row --------------------------------------------------------------------------

    def _label(self, camera: str) -> str:
        """For a plot: the name, or the id where there is none."""
        return self._names.get(camera) or camera

    def _camera(self, camera: str) -> str:
        name = self._names.get(camera, "")
        return f"{escape(name)} <small>{escape(camera)}</small>" if name else escape(camera)

    def _lost(self, seq: int) -> str:
        """That an audit log begins anew; nothing if none went with an old system disk."""
        if not seq:
            return ""
        say = self.words.say
        return say(
            f"恢复之前至第 {seq:,} 条的旧日志随旧系统盘丢失。",
            f"The old log of before the restore, up to {seq:,}, went with the old system disk.",
        )

    def _left_out(self, count: int, shown: int) -> str:
        if count <= shown:
            return ""
        say = self.words.say
        return note(
            say(
                f"共 {count:,} 条，此处列 {shown} 条，其余见 report.json。",
                f"{shown} of {count:,} are shown; for the others see report.json.",
            )
        )
