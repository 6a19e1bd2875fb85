"""The program ``xueliang``. Exit 0 done, 1 a finding or failure, 2 bad usage or settings.

Each command prints for people, or with ``--json`` one JSON document on stdout and nothing else.
Parts that only one command needs are imported inside it: ``--help`` and ``status`` stay quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from config.errors import XueliangError
from config.load import ConfigError, load
from config.schema import Settings

DEFAULT_CONFIG = Path("/etc/xueliang/xueliang.toml")
EXIT_FINDING = 1
EXIT_USAGE = 2
SERVICES = ("edge", "uplink", "console", "diagnose")

P = ParamSpec("P")
T = TypeVar("T")


def _report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Every error that a person is meant to read becomes one clear sentence and an exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(problem.sentence(), err=True)
            sys.exit(EXIT_USAGE)
        except XueliangError as error:
            click.echo(error.sentence(), err=True)
            sys.exit(EXIT_FINDING)

    return run


config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="设置文件 settings file",
)
json_option = click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
from_option = click.option(
    "--from", "from_text", required=True, help="ISO 8601; local time without offset"
)
to_option = click.option("--to", "to_text", required=True)
days_option = click.option("--days", type=click.IntRange(1, 90), default=90, show_default=True)
new_folder_option = click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="a new folder",
)


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _tell(document: T, text_of: Callable[[T], str], *, as_json: bool) -> None:
    """``document`` for machines, or what ``text_of`` makes of it for people."""
    if as_json:
        _print_json(document)
    else:
        click.echo(text_of(document))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="xueliang-edge")
def main() -> None:
    """雪亮边缘录像机 Xueliang Edge: records, accounts for and proves 90 days of footage."""


@main.command()
@click.option("--confirm-time", is_flag=True, help="确认本机时间 the clock of this host is right")
@click.option("--yes", "is_sure", is_flag=True, help="with --confirm-time: do not ask")
@config_option
@json_option
@_report_errors
def check(confirm_time: bool, is_sure: bool, config_path: Path, as_json: bool) -> None:
    """检查设置和本机 Validate the settings and the machine; each finding with its mend."""
    from edge.check import Severity, check_machine

    settings = load(config_path)
    if confirm_time:
        _confirm_time(settings, is_sure=is_sure, as_json=as_json)
        return
    findings = check_machine(settings)
    if as_json:
        _print_json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            click.echo(finding.line())
    if any(finding.severity is Severity.BAD for finding in findings):
        sys.exit(EXIT_FINDING)


def _confirm_time(settings: Settings, *, is_sure: bool, as_json: bool) -> None:
    from edge.confirm_time import confirm, shown

    shown_us, sentence = shown()
    click.echo(sentence, err=as_json)
    if not is_sure:
        answer = click.prompt("输入 yes 确认 type yes", default="", show_default=False, err=as_json)
        if answer.strip() != "yes":
            click.echo("未确认 not confirmed", err=True)
            sys.exit(EXIT_FINDING)
    told = confirm(settings, shown_us)
    if as_json:
        _print_json(told)
    else:
        click.echo("已确认 confirmed")


@main.command()
@click.option("--site", "site_path", type=click.Path(path_type=Path), help="不提问 do not ask")
@click.option("--adopt", is_flag=True, help="接管旧盘 go on with the disks of another box")
@click.option("--replace", is_flag=True, help="重写设置 write existing settings anew")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="DEVICE=FOLDER",
    help="格式化并挂载 make a file system there and mount it",
)
@click.option("--erase", is_flag=True, help="with --format: also a disk that carries something")
@click.option("--first-user", default="admin", show_default=True, help="首个账户 first account")
@config_option
@json_option
@_report_errors
def setup(
    site_path: Path | None,
    adopt: bool,
    replace: bool,
    formats: tuple[str, ...],
    erase: bool,
    first_user: str,
    config_path: Path,
    as_json: bool,
) -> None:
    """安装设置 Settings, passwords, stamped disks and the first account of a new box."""
    from edge.setup.command import run_setup

    document, lines = run_setup(
        site_path,
        config_path,
        formats=formats,
        may_erase=erase,
        may_adopt=adopt,
        may_replace=replace,
        first_user=first_user,
    )
    if as_json:
        _print_json(document)
    else:
        click.echo("\n".join(lines))


@main.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--drills", is_flag=True, help="同 as --drill recorder")
@click.option(
    "--drill",
    "drill_names",
    multiple=True,
    type=click.Choice(["recorder", "network", "disk"]),
    help="故障演练 recorder: 杀录像进程 it is killed; network, disk: 人拔网线、拔盘 you pull",
)
@click.option("--verify", "is_verifying", is_flag=True, help="校验报告 check the report in FOLDER")
@config_option
@json_option
@_report_errors
def accept(
    folder: Path | None,
    output: Path | None,
    drills: bool,
    drill_names: tuple[str, ...],
    is_verifying: bool,
    config_path: Path,
    as_json: bool,
) -> None:
    """验收 The acceptance checks that a machine can run, as a signed report in -o FOLDER."""
    from edge.acceptance import run as acceptance
    from edge.acceptance.drills import Drill
    from edge.acceptance.report import text_of

    if is_verifying:
        if folder is None:
            raise click.UsageError("--verify takes the report's FOLDER")
        document, faults = acceptance.verify(folder)
        if as_json:
            _print_json({"faults": faults, "report": document})
        else:
            click.echo("\n".join(faults) if faults else text_of(document))
        if faults:
            sys.exit(EXIT_FINDING)
        return
    target = output or folder
    if target is None:
        raise click.UsageError("the report needs a folder: -o FOLDER")
    document = acceptance.accept(
        load(config_path),
        target,
        drills=frozenset(map(Drill, [*drill_names, *(["recorder"] if drills else [])])),
        say=lambda line: click.echo(line, err=True),
    )
    _tell(document, text_of, as_json=as_json)
    if not document["accepted"]:
        sys.exit(EXIT_FINDING)


passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="加密口令文件 a file with the passphrase that seals it",
)


def _passphrase(path: Path | None) -> str:
    from config.secrets import read_secret

    return "" if path is None else read_secret(path).reveal()


@main.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="a new file")
@passphrase_option
@config_option
@json_option
@_report_errors
def backup(output: Path, passphrase_file: Path | None, config_path: Path, as_json: bool) -> None:
    """备份 Settings, passwords, the box's key and console accounts, into one file (mode 0600)."""
    from edge.backup import backup as make

    names = make(config_path, output, _passphrase(passphrase_file))
    if as_json:
        _print_json({"file": str(output), "sealed": passphrase_file is not None, "held": names})
        return
    click.echo(f"已备份 written: {output} ({len(names)})")
    if passphrase_file is None:
        click.echo(
            "未加密:含密码与签名密钥,请妥善保管 not sealed: it holds passwords and the box's key"
        )


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="覆盖现有文件 write over what stands")
@passphrase_option
@config_option
@json_option
@_report_errors
def restore(
    source: Path,
    replace: bool,
    passphrase_file: Path | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """恢复 Puts a backup back; edge must not run."""
    from edge.backup import restore as put_back

    names = put_back(source, config_path, _passphrase(passphrase_file), may_replace=replace)
    if as_json:
        _print_json({"restored": names})
    else:
        click.echo(f"已恢复 restored: {', '.join(names)}")


@main.command()
@click.argument("services", nargs=-1, type=click.Choice(SERVICES))
@config_option
@json_option
@_report_errors
def run(services: tuple[str, ...], config_path: Path, as_json: bool) -> None:
    """前台运行 Run all services, or the named ones, in the foreground."""
    from edge.services import run_services

    del as_json  # a service prints nothing
    if set(services) == {"edge"}:
        from edge.daemon import run_edge

        run_edge(config_path)
        return
    load(config_path)  # its faults once, not from each service
    code = run_services(services or SERVICES, config_path)
    if code:
        sys.exit(code)


@main.command()
@config_option
@json_option
@_report_errors
def status(config_path: Path, as_json: bool) -> None:
    """录像状态 What is being recorded, measured; what is wrong."""
    from edge.status import render, status_document

    document = status_document(load(config_path))
    _tell(document, render, as_json=as_json)
    is_recording = document["edge"]["running"] and all(
        camera["recording"] for camera in document["cameras"] if camera["enabled"]
    )
    if not is_recording or not all(one["registered"] for one in document["platforms"]):
        sys.exit(EXIT_FINDING)


@main.command()
@click.option("--all", "with_ended", is_flag=True, help="those that ended lately, too")
@config_option
@json_option
@_report_errors
def alarms(with_ended: bool, config_path: Path, as_json: bool) -> None:
    """告警 What is wrong now, since when, and what to do."""
    from edge.alarms_command import alarms_document, render_alarms

    settings = load(config_path)
    document = alarms_document(settings, with_ended=with_ended)
    _tell(document, render_alarms, as_json=as_json)
    if document["standing"]:
        sys.exit(EXIT_FINDING)


@main.command()
@click.argument("camera")
@from_option
@to_option
@config_option
@json_option
@_report_errors
def timeline(camera: str, from_text: str, to_text: str, config_path: Path, as_json: bool) -> None:
    """时间轴 Spans and gaps of one camera."""
    from edge.status import render_timeline, timeline_document

    document = timeline_document(load(config_path), camera, from_text, to_text)
    _tell(document, render_timeline, as_json=as_json)


@main.command()
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True)
@click.option("--interface", default="", help="网卡名或地址 name or IPv4 address; else all")
@click.option("--username", default="", help="用户名 tried on cameras that are not set up yet")
@click.option("--password-file", type=click.Path(path_type=Path), help="口令文件 its password")
@click.option("--port", type=click.IntRange(1, 65535), default=3702, hidden=True)
@config_option
@json_option
@_report_errors
def discover(
    seconds: float,
    interface: str,
    username: str,
    password_file: Path | None,
    port: int,
    config_path: Path,
    as_json: bool,
) -> None:
    """查找摄像机 Cameras of this network, found by WS-Discovery."""
    from edge.care.discover_command import found_cameras, found_json, render_found

    found = found_cameras(
        config_path,
        seconds=seconds,
        interface=interface,
        username=username,
        password_file=password_file,
        port=port,
    )
    if as_json:
        _print_json(found_json(found))
    else:
        click.echo(render_found(found))
    if not found:
        sys.exit(EXIT_FINDING)


@main.command()
@click.option("--cameras", type=click.IntRange(1, 10_000), help="how many; else those set up")
@click.option("--mbps", type=click.FloatRange(0.001, 1_000), help="of each; else as measured, or 4")
@click.option("--days", type=click.FloatRange(0.01, 3_650), help="to be held; else the floor")
@config_option
@json_option
@_report_errors
def plan(
    cameras: int | None, mbps: float | None, days: float | None, config_path: Path, as_json: bool
) -> None:
    """容量规划 The disk that footage takes, or the days that these disks give."""
    from edge.planning import plan_document, render_plan

    is_without = config_path == DEFAULT_CONFIG and not config_path.exists()
    document = plan_document(None if is_without else load(config_path), cameras, mbps, days)
    _tell(document, render_plan, as_json=as_json)
    if document["enough"] is False:
        sys.exit(EXIT_FINDING)


@main.command()
@click.option("--dry-run", is_flag=True, help="only print the differences")
@config_option
@json_option
@_report_errors
def reindex(dry_run: bool, config_path: Path, as_json: bool) -> None:
    """重建索引 Rebuild the index from the volumes alone, and print the differences."""
    from edge.maintenance import reindex_store

    rebuilt = reindex_store(load(config_path), dry_run=dry_run)
    if as_json:
        _print_json(
            {
                "dry_run": dry_run,
                "segments": rebuilt.segments,
                "differences": [difference.as_json() for difference in rebuilt.differences],
                "unreadable": rebuilt.unreadable,
            }
        )
        return
    for difference in rebuilt.differences:
        click.echo(difference)
    for path in rebuilt.unreadable:
        click.echo(f"{path}: 不是可读的录像段 no readable segment")
    count = len(rebuilt.differences)
    click.echo(f"录像段 segments {rebuilt.segments}, 差异 differences {count}")


@main.command()
@click.argument("camera")
@from_option
@to_option
@new_folder_option
@click.option("--reason", required=True, help="事由 for the audit log and the manifest")
@config_option
@json_option
@_report_errors
def export(
    camera: str,
    from_text: str,
    to_text: str,
    folder: Path,
    reason: str,
    config_path: Path,
    as_json: bool,
) -> None:
    """导出 Footage of CAMERA with everything that proves it."""
    from edge.evidence import export_camera, export_json, render_export

    settings = load(config_path)
    result = export_camera(settings, camera, from_text, to_text, folder, reason)
    if as_json:
        _print_json(export_json(settings, result))
    else:
        click.echo(render_export(settings, result))
    if result.damaged:
        sys.exit(EXIT_FINDING)


@main.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--camera", help="verify the store's footage of this camera instead")
@click.option("--from", "from_text", help="ISO 8601; local time without offset")
@click.option("--to", "to_text")
@click.option("--key", default="", help="密钥指纹 fingerprint of the box's key, from who knows it")
@click.option("--witness", type=click.Path(path_type=Path), help="what an outside witness was told")
@config_option
@json_option
@_report_errors
def verify(
    folder: Path | None,
    camera: str | None,
    from_text: str | None,
    to_text: str | None,
    key: str,
    witness: Path | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """校验 Check an export in FOLDER from itself alone, or with --camera the store."""
    from edge import evidence
    from retention import export_verifier, verify

    if (folder is None) == (camera is None):
        raise click.UsageError("name a folder, or a camera with --camera")
    if folder is not None:
        if from_text or to_text:
            raise click.UsageError("--from and --to go with --camera")
        report = evidence.verify_folder(folder, key, witness)
        document, text = report.as_json(), export_verifier.render(report)
        differences = len(report.differences)
    else:
        assert camera is not None
        settings = load(config_path)
        result = evidence.verify_store(settings, camera, from_text, to_text, key, witness)
        document, text = verify.as_json(result), evidence.render_verified(result)
        differences = len(result.differences)
    if as_json:
        _print_json(document)
    else:
        click.echo(text)
    if differences:
        sys.exit(EXIT_FINDING)


@main.command()
@days_option
@new_folder_option
@config_option
@json_option
@_report_errors
def report(days: int, folder: Path, config_path: Path, as_json: bool) -> None:
    """证明报告 Completeness, clocks, deletions, access and proof of the last days, signed."""
    from edge.report.pack import make_report, pack_json, render_pack
    from retention.clock import SystemClock

    pack = make_report(load(config_path), days, folder, SystemClock())
    if as_json:
        _print_json(pack_json(pack))
    else:
        click.echo(render_pack(pack))


@main.group()
def audit() -> None:
    """审计日志 Who did what: the audit logs."""


service_option = click.option("--service", help="only this service's log: edge, cli, …")


@audit.command("verify")
@service_option
@config_option
@json_option
@_report_errors
def audit_verify(service: str | None, config_path: Path, as_json: bool) -> None:
    """校验 Check every log against itself and against the heads signed into the journal."""
    from edge.audit_command import render_verdict, verdict_json
    from edge.audit_verification import verify_all
    from edge.status import index_path

    settings = load(config_path)
    verdicts = verify_all(settings.storage.state_dir, index_path(settings), service)
    if as_json:
        _print_json([verdict_json(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            click.echo(render_verdict(verdict))
    if not all(verdict.is_sound for verdict in verdicts):
        sys.exit(EXIT_FINDING)


@audit.command("list")
@click.option("--days", type=click.IntRange(1), default=7, show_default=True)
@service_option
@config_option
@json_option
@_report_errors
def audit_list(days: int, service: str | None, config_path: Path, as_json: bool) -> None:
    """列出 The records of the last days, all logs together in order of time."""
    from edge.audit_command import newest_records, record_json, render_record

    settings = load(config_path)
    records = newest_records(settings, days, service)
    if as_json:
        _print_json([record_json(settings, record) for record in records])
        return
    for record in records:
        click.echo(render_record(settings, record))


@main.command()
@click.argument("camera", required=False)
@days_option
@config_option
@json_option
@_report_errors
def completeness(camera: str | None, days: int, config_path: Path, as_json: bool) -> None:
    """完整率 How much of each calendar day was recorded, and why not all of it."""
    from edge.completeness_command import completeness_document, render_completeness

    document = completeness_document(load(config_path), camera, days)
    _tell(document, render_completeness, as_json=as_json)


@main.command("self-check")
@click.option("--date", "day_text", help="YYYY-MM-DD; yesterday unless given")
@click.option("--keep", is_flag=True, help="keep the result, as edge does each night")
@config_option
@json_option
@_report_errors
def self_check(day_text: str | None, keep: bool, config_path: Path, as_json: bool) -> None:
    """自检 Ask of ourselves what a checking platform would: lists, playback, clock."""
    import random
    from datetime import date

    from edge import night_results as results
    from edge import self_check as checks
    from edge.auditing import on_record
    from retention.audit_chain import Action
    from retention.clock import SystemClock
    from retention.priority import Disk, give_way

    settings, clock = load(config_path), SystemClock()
    try:
        day = (
            results.yesterday(settings, clock) if day_text is None else date.fromisoformat(day_text)
        )
    except ValueError as error:
        raise click.UsageError(f"--date: {error}") from None
    give_way(19, Disk.IDLE)
    document = checks.run(
        settings,
        day,
        clock,
        random.SystemRandom(),
        checks.at_leisure,
        checks.offsets_of_cameras(settings),
    )
    if keep:
        with on_record(settings, Action.SELF_CHECK, day.isoformat()) as deed:
            deed.told["sha256"] = results.keep(settings.storage.state_dir, document)
            deed.told["passed"] = document["passed"]
    _tell(document, checks.render, as_json=as_json)
    if not document["passed"]:
        sys.exit(EXIT_FINDING)


@main.command()
@click.argument("camera")
@click.option(
    "--at", "at_text", help="ISO 8601; local time without offset; else the newest footage"
)
@click.option("--relearn", is_flag=True, help="学习新场景 learn the normal picture anew")
@config_option
@json_option
@_report_errors
def diagnose(
    camera: str, at_text: str | None, relearn: bool, config_path: Path, as_json: bool
) -> None:
    """图像诊断 Look at a camera's picture once, as the diagnose service does."""
    from edge.diagnose_command import diagnose_document, forget, render_diagnosis

    settings = load(config_path)
    if relearn:
        is_done = forget(settings, camera)
        if as_json:
            _print_json({"camera": camera, "forgotten": is_done})
        else:
            click.echo(
                "将重新学习 will be learnt anew" if is_done else "尚未学习 nothing learnt yet"
            )
        return
    document = diagnose_document(settings, camera, at_text)
    _tell(document, render_diagnosis, as_json=as_json)
    if document["outcome"] in ("abnormal", "failed"):
        sys.exit(EXIT_FINDING)


@main.group()
def camera() -> None:
    """摄像机 Look at a camera through ONVIF, and set it; what is set is on record."""


@camera.command("show")
@click.argument("camera_id", metavar="CAMERA")
@config_option
@json_option
@_report_errors
def camera_show(camera_id: str, config_path: Path, as_json: bool) -> None:
    """查看 What the camera is set to, and what is wrong with that."""
    from edge.care import camera_command

    document = camera_command.show(load(config_path), camera_id)
    _tell(document, camera_command.render_shown, as_json=as_json)
    if document["findings"]:
        sys.exit(EXIT_FINDING)


@camera.command("apply-encoder")
@click.argument("camera_id", metavar="CAMERA")
@config_option
@json_option
@_report_errors
def camera_apply_encoder(camera_id: str, config_path: Path, as_json: bool) -> None:
    """编码 Raise what is below the site's minimum ([care.encoder]), and nothing else."""
    from edge.care import camera_command

    document = camera_command.apply_encoder(load(config_path), camera_id)
    _tell(document, camera_command.render_applied, as_json=as_json)


@camera.command("set-osd")
@click.argument("camera_id", metavar="CAMERA")
@click.option("--text", help="else the camera's name")
@config_option
@json_option
@_report_errors
def camera_set_osd(camera_id: str, text: str | None, config_path: Path, as_json: bool) -> None:
    """字符 Write the camera's name into its picture."""
    from edge.care import camera_command

    document = camera_command.set_osd(load(config_path), camera_id, text)
    if as_json:
        _print_json(document)
    else:
        click.echo(f"{camera_id}: {document['before'] or '-'} -> {document['text']}")


@camera.command("set-clock")
@click.argument("camera_id", metavar="CAMERA")
@click.option("--ntp", is_flag=True, help="NTP 指向本机 point its NTP at this box instead")
@config_option
@json_option
@_report_errors
def camera_set_clock(camera_id: str, ntp: bool, config_path: Path, as_json: bool) -> None:
    """时钟 Give the camera this host's time, if that is trusted."""
    from edge.care import camera_command

    document = camera_command.set_clock(load(config_path), camera_id, ntp=ntp)
    if as_json:
        _print_json(document)
    else:
        click.echo(
            f"{camera_id}: {document['offset_seconds_before']} s -> {document['offset_seconds']} s"
        )


@main.group()
def hold() -> None:
    """保留 Legal holds: footage that no policy deletes."""


@hold.command("add")
@click.argument("camera")
@from_option
@click.option("--to", "to_text", required=True, help="may lie ahead")
@click.option("--case", required=True, help="案号 case number")
@click.option("--requester", required=True, help="申请人 who asked for it")
@click.option("--unit", default="", help="单位 the requester's unit")
@click.option("--reason", required=True, help="事由")
@click.option("--expires", "expires_text", help="when it ends by itself; else by release alone")
@config_option
@json_option
@_report_errors
def hold_add(
    camera: str,
    from_text: str,
    to_text: str,
    case: str,
    requester: str,
    unit: str,
    reason: str,
    expires_text: str | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """保留 Hold footage of CAMERA, or of all."""
    from edge import hold_command

    answer = hold_command.add(
        load(config_path),
        camera,
        from_text=from_text,
        to_text=to_text,
        case=case,
        requester=requester,
        unit=unit,
        reason=reason,
        expires_text=expires_text,
    )
    _tell_hold(answer, as_json=as_json)


@hold.command("list")
@config_option
@json_option
@_report_errors
def hold_list(config_path: Path, as_json: bool) -> None:
    """列出 Every hold, released ones too."""
    from edge import hold_command

    holds = hold_command.hold_list(load(config_path))
    _tell(holds, hold_command.render_list, as_json=as_json)


@hold.command("release")
@click.argument("hold_id", metavar="ID")
@click.option("--by", required=True, help="姓名 who releases it")
@config_option
@json_option
@_report_errors
def hold_release(hold_id: str, by: str, config_path: Path, as_json: bool) -> None:
    """解除 Release a hold: the first person asks, another one does it."""
    from edge import hold_command

    _tell_hold(hold_command.release(load(config_path), hold_id, by), as_json=as_json)


def _tell_hold(answer: dict[str, Any], *, as_json: bool) -> None:
    from edge.hold_command import render_answer

    _tell(answer, render_answer, as_json=as_json)
    if answer["pending_volumes"]:
        sys.exit(EXIT_FINDING)


@main.group()
def user() -> None:
    """账号 Console accounts."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["integrator", "head", "guard", "auditor"]),
    required=True,
    help="集成商, 负责人, 值班, 审计",
)
@click.option("--full-name", default="", help="姓名 as registers show it")
@config_option
@json_option
@_report_errors
def user_add(name: str, role: str, full_name: str, config_path: Path, as_json: bool) -> None:
    """新建账号 Make an account; prints its first password, this once."""
    from edge import user_command
    from edge.console.roles import Role

    password = user_command.add(load(config_path), name, Role(role), full_name)
    _tell_password(name, password, as_json=as_json)


@user.command("passwd")
@click.argument("name")
@config_option
@json_option
@_report_errors
def user_passwd(name: str, config_path: Path, as_json: bool) -> None:
    """重置密码 Give a new first password; ends the account's sessions."""
    from edge import user_command

    password = user_command.new_password(load(config_path), name)
    _tell_password(name, password, as_json=as_json)


@user.command("list")
@config_option
@json_option
@_report_errors
def user_list(config_path: Path, as_json: bool) -> None:
    """列出账号 Every account, disabled ones too."""
    from edge import user_command

    users = user_command.user_list(load(config_path))
    _tell(users, user_command.render_list, as_json=as_json)


@user.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="恢复 enable it again")
@config_option
@json_option
@_report_errors
def user_disable(name: str, undo: bool, config_path: Path, as_json: bool) -> None:
    """停用账号 Disable an account at once; its records stay."""
    from edge import user_command

    user_command.disable(load(config_path), name, is_disabled=not undo)
    if as_json:
        _print_json({"name": name, "disabled": not undo})
    else:
        click.echo(f"{name} {'已恢复 enabled' if undo else '已停用 disabled'}")


def _tell_password(name: str, password: str, *, as_json: bool) -> None:
    from edge.user_command import render_password

    if as_json:
        _print_json({"name": name, "first_password": password})
    else:
        click.echo(render_password(name, password))


@main.command()
@click.option("--cameras", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=Path("xueliang-demo"))
@json_option
@_report_errors
def demo(cameras: int, directory: Path, as_json: bool) -> None:
    """演示 Simulated cameras, recorded; prints where to look."""
    from edge.demo.command import run_demo

    run_demo(cameras, directory, as_json=as_json)


if __name__ == "__main__":
    main()
