"""A Debian host in a virtual machine: started, spoken to over SSH, switched off hard."""

import json
import shlex
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.docker import CommandError, eventually

QEMU = "qemu-system-x86_64"
ADDRESS = "10.0.2.15"
# Under emulation Linux may panic where it uses cmpxchg16b; HAProxy needs it, and may.
KERNEL_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 loglevel=4 panic=10 clearcpuid=cx16"
PROBE_S, BOOT_S, COMMAND_S = 15, 420, 120
# A page table of five levels only makes it slower.
EMULATION = ("-accel", "tcg,thread=multi", "-cpu", "max,-la57")
ACCELERATION = ("-accel", "kvm", "-cpu", "host")


@dataclass(frozen=True)
class Disks:
    """What scripts/rehearsal-host made."""

    host: Path
    images: Path


def kvm_works(disks: Disks) -> bool:
    """Boot as far as the kernel goes: it may be there, and still run no guest."""
    command = (
        *(QEMU, *ACCELERATION, "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-serial", "stdio", "-kernel", disks.host / "vmlinuz"),
        *("-append", "console=ttyS0 panic=-1"),
    )
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"Kernel panic" in done.stdout  # that there is no root is the first thing it misses


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """The virtual machine. What is written to its disks lasts as long as this object's process."""

    def __init__(self, disks: Disks, folder: Path) -> None:
        self.disks, self.folder = disks, folder
        self.port = free_port()
        self.console = folder / "console.log"
        self.key = folder / "key"
        shutil.copy(disks.host / "key", self.key)
        self.key.chmod(0o600)
        self.accelerated = kvm_works(disks)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "qemu.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(QEMU, *(ACCELERATION if self.accelerated else EMULATION)),
                    *("-smp", "2", "-m", "2048", "-nodefaults", "-display", "none"),
                    *("-serial", f"file:{self.console}"),
                    *("-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"),
                    *("-kernel", str(self.disks.host / "vmlinuz")),
                    *("-initrd", str(self.disks.host / "initrd.img"), "-append", KERNEL_LINE),
                    *self._drive(self.disks.host),
                    *self._drive(self.disks.images),
                    *("-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=management"),
                    "-netdev",
                    f"user,id=management,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-{ADDRESS}:22",
                ],
                env={"TMPDIR": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_for_boot()

    def _drive(self, folder: Path) -> tuple[str, str]:
        """Name a disk; what is written to it goes to a file of this process, gone at its end."""
        return "-drive", f"file={folder / 'disk.img'},format=raw,if=virtio,snapshot=on"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    # Commands

    def run(self, command: str, *, check: bool = True, timeout_s: float = COMMAND_S) -> str:
        """Run a line of shell as root and return what it printed. Raises CommandError."""
        return self.run_bytes(command, check=check, timeout_s=timeout_s).decode(errors="replace")

    def run_bytes(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        check: bool = True,
        timeout_s: float = COMMAND_S,
    ) -> bytes:
        done = subprocess.run(
            [*self._ssh(), command],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise CommandError(f"in the machine: {command}: exit {done.returncode}\n{said}")
        return done.stdout

    def _ssh(self) -> list[str]:
        options = {
            "IdentityFile": self.key,
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": 20,
            "ServerAliveInterval": 10,
            "ServerAliveCountMax": 6,
            "ControlMaster": "auto",  # a handshake under emulation takes a second
            "ControlPath": self.folder / "ssh",
            "ControlPersist": "yes",
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", *given, "-p", str(self.port), "root@127.0.0.1"]

    def write(self, path: str, data: bytes | str, mode: str = "644", owner: str = "root") -> None:
        """Replace a file as editors do: a new one, renamed over the old one."""
        data = data.encode() if isinstance(data, str) else data
        target, draft = shlex.quote(path), shlex.quote(f"{path}.draft")
        self.run_bytes(
            f"cat >{draft} && chown {owner} {draft} && chmod {mode} {draft} && mv {draft} {target}",
            stdin=data,
        )

    # Its life

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id", timeout_s=40).strip()

    def wait_for_boot(self, *, other_than: str = "") -> None:
        """Wait until it runs and so does its Docker Engine; after a reboot, not the old system."""

        def booted() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-500:]}")
            return self.boot_id() != other_than

        eventually(booted, BOOT_S, "the machine has booted", every_s=1)
        eventually(self.engine_answers, BOOT_S, "Docker Engine answers", every_s=1)

    def engine_answers(self) -> bool:
        return bool(self.run("docker version --format '{{.Server.Version}}'").strip())

    def reboot(self) -> None:
        before = self.boot_id()
        self.run("systemctl reboot", check=False)
        self._forget_connection()
        self.wait_for_boot(other_than=before)

    def lose_power(self) -> None:
        """As if somebody had pulled the plug: nothing is told, nothing is written."""
        before = self.boot_id()
        self._order("system_reset")
        self._forget_connection()
        self.wait_for_boot(other_than=before)

    def _forget_connection(self) -> None:
        subprocess.run([*self._ssh(), "-O", "exit"], capture_output=True, check=False)

    def _order(self, command: str) -> None:
        """Tell QEMU, in its own protocol."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(30)
            monitor.connect(str(self.folder / "qmp"))
            lines = monitor.makefile("rw")
            lines.readline()  # its greeting
            for name in ("qmp_capabilities", command):
                lines.write(json.dumps({"execute": name}) + "\n")
                lines.flush()
                while "return" not in json.loads(lines.readline()):
                    pass
