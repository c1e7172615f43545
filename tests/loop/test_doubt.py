"""What is done on doubt: nothing. Lost memory, lost keys, mass removals, unknown algorithms."""

from tests.builders import vpn
from tests.worlds import Bench


def test_with_a_bad_file_and_no_memory_nothing_is_removed(three_up: Bench) -> None:
    (three_up.settings.state_dir / "accepted.json").unlink()
    three_up.settings.config_path.write_text("{")
    three_up.restart_reconciler()
    three_up.rounds()
    assert three_up.requests() == []
    assert "kspb_vpn" in three_up.settings.swanctl_file.read_text()


def test_with_a_bad_file_and_no_memory_no_running_tunnel_is_taken_for_left_over(
    three_up: Bench,
) -> None:
    (three_up.settings.state_dir / "accepted.json").unlink()
    three_up.settings.config_path.write_text("{")
    three_up.ike.connections.clear()
    three_up.ike.secrets.clear()
    three_up.restart_reconciler()
    three_up.rounds()
    assert three_up.requests() == []


def test_with_one_bad_airport_and_no_memory_nothing_is_removed(three_up: Bench) -> None:
    (three_up.settings.state_dir / "accepted.json").write_text("damaged")
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3, connection_name="~"))
    three_up.restart_reconciler()
    report = three_up.round()
    assert three_up.requests() == []
    assert "accepted.json" in report.status.reconciler.errors[0]
    assert "s51_vpn" in three_up.settings.swanctl_file.read_text()


def test_without_a_key_for_the_marks_nothing_is_touched_and_all_is_told(three_up: Bench) -> None:
    (three_up.settings.state_dir / "mark.key").write_bytes(b"damaged")
    three_up.restart_reconciler()
    three_up.declare(kspb=vpn(1), kczk=vpn(2))
    report = three_up.round()
    assert three_up.requests() == []
    assert "mark.key" in report.status.reconciler.errors[0]
    assert three_up.connection().status == "up"


def test_a_mass_removal_is_held_until_it_is_confirmed(bench: Bench) -> None:
    bench.declare(**{f"k{n:03d}": vpn(n) for n in range(1, 6)})
    bench.round()
    bench.declare(k001=vpn(1), k002=vpn(2), k009=vpn(9))
    bench.round()
    assert len(bench.ike.connections) == 6
    assert bench.status.configuration.removals_held == ("k003", "k004", "k005")
    bench.restart_reconciler()
    bench.round()
    assert len(bench.ike.connections) == 6
    bench.round(allow_removals=True)
    assert set(bench.ike.connections) == {"k001_vpn", "k002_vpn", "k009_vpn"}
    bench.round()
    assert len(bench.ike.connections) == 3


def test_a_mass_removal_is_held_also_when_the_memory_of_what_was_accepted_is_lost(
    three_up: Bench,
) -> None:
    (three_up.settings.state_dir / "accepted.json").write_text("{trunc")
    three_up.restart_reconciler()
    three_up.declare()
    report = three_up.round()
    assert three_up.requests() == []
    assert "held: removal of kczk_vpn, kspb_vpn, s51_vpn" in report.status.reconciler.errors[-1]
    three_up.round(allow_removals=True)
    assert three_up.ike.connections == {}


def test_a_first_file_with_one_bad_airport_is_remembered_for_the_others(bench: Bench) -> None:
    bench.declare(kspb=vpn(1), kczk=vpn(2), bad=vpn(3, remote_subnet="192.168.3.1/24"))
    bench.rounds(2)
    assert "kspb_vpn {" in bench.settings.swanctl_file.read_text()
    bench.declare(kczk=vpn(2), bad=vpn(3, remote_subnet="192.168.3.1/24"))
    bench.rounds(2)
    assert set(bench.ike.connections) == {"kczk_vpn"}


def test_charons_own_copy_comes_back_when_it_was_lost_or_edited(three_up: Bench) -> None:
    good = three_up.settings.swanctl_file.read_text()
    three_up.settings.swanctl_file.write_text("connections {}")
    three_up.round()
    assert three_up.settings.swanctl_file.read_text() == good
    three_up.settings.swanctl_file.unlink()
    three_up.round()
    assert three_up.settings.swanctl_file.read_text() == good


def test_a_lost_key_of_the_marks_cuts_nobody(three_up: Bench) -> None:
    (three_up.settings.state_dir / "mark.key").unlink()
    three_up.restart_reconciler()
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3), kxyz=vpn(4))
    report = three_up.round()
    assert three_up.requests() == []
    assert "apply --new-mark-key" in report.status.reconciler.errors[0]


def test_with_one_bad_airport_and_neither_memory_nor_secrets_nothing_is_removed(
    three_up: Bench,
) -> None:
    """Which airports there were is told by what runs, as well."""
    (three_up.settings.state_dir / "accepted.json").unlink()
    three_up.ike.secrets.clear()
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3, connection_name="~"))
    three_up.restart_reconciler()
    three_up.rounds(2)
    assert "s51_vpn" in three_up.ike.connections
    assert "s51_vpn" in {sa.name for sa in three_up.ike.sas}


def test_a_key_is_not_made_while_running_tunnels_bear_marks_of_a_lost_one(three_up: Bench) -> None:
    """Somebody has unloaded all secrets, so only the tunnels still tell."""
    (three_up.settings.state_dir / "mark.key").unlink()
    three_up.ike.secrets.clear()
    three_up.restart_reconciler()
    three_up.rounds(2)
    assert three_up.requests() == []
    three_up.ike.connections.clear()
    three_up.rounds(2)
    assert three_up.requests() == []
    assert "apply --new-mark-key" in three_up.status.reconciler.errors[0]


def test_an_airport_is_not_accepted_before_charon_was_asked_for_its_algorithms(
    bench: Bench,
) -> None:
    bench.ike.reachable = False
    bench.declare(kspb=vpn(), kczk=vpn(2, dh_group=32))
    bench.round()
    assert not (bench.settings.state_dir / "accepted.json").exists()
    bench.ike.reachable = True
    bench.rounds()
    assert set(bench.ike.connections) == {"kspb_vpn"}
    assert bench.status.configuration.airports_invalid == ("kczk",)


def test_a_mass_removal_without_memory_stays_held_in_every_round(bench: Bench) -> None:
    """What is held must not be forgotten by remembering the file that would remove it."""
    bench.declare(**{f"k{n}": vpn(n) for n in range(1, 7)})
    bench.round()
    (bench.settings.state_dir / "accepted.json").write_text("{trunc")
    bench.restart_reconciler()
    bench.requests()
    bench.declare(k1=vpn(1))
    bench.rounds(3)
    bench.ike.reachable = False
    bench.declare(k1=vpn(1), k7=vpn(7))
    bench.round()
    bench.ike.reachable = True
    bench.declare(k1=vpn(1))
    bench.rounds(3)
    assert bench.requests() == []
    assert "k6_vpn {" in bench.settings.swanctl_file.read_text()
    bench.round(allow_removals=True)
    assert set(bench.ike.connections) == {"k1_vpn"}
