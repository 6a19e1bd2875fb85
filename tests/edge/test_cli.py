"""What the program says when it cannot do what it is asked."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from edge.cli import EXIT_USAGE, main


def test_every_fault_of_the_settings_is_a_sentence_with_its_mend(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(
        '[site]\nname = "x"\n[storage]\nvolumes = ["/tmp/v"]\nstate_dir = "/tmp/s"\n'
        "[retention]\nmin_days = 30\naudit_days = 100\n"
    )
    result = CliRunner().invoke(main, ["status", "-c", str(config)])
    assert result.exit_code == EXIT_USAGE
    first, second = result.output.splitlines()
    assert first.startswith(f"{config}:7: retention.min_days is 30, below the 90 days")
    assert first.endswith("; set 90 or more")
    assert second == f"{config}:8: retention.audit_days is 100, too little; set 183 or more"
