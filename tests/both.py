"""All tests, in two processes at once: those of the command line start hundreds of processes and wait for them.

python tests/both.py [what pytest takes besides]
"""

import subprocess
import sys
import tempfile


def main(options: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile() as said:
        # No shell's "&": it would have these tests, and every process they interrupt, ignore SIGINT.
        beside = subprocess.Popen([*pytest, "tests/cli"], stdout=said, stderr=subprocess.STDOUT)
        try:
            here = subprocess.run([*pytest, "--ignore=tests/cli"], check=False).returncode
            there = beside.wait()
        finally:
            beside.kill()
        said.seek(0)
        print("tests/cli:", said.read().decode(errors="replace"), sep="\n", flush=True)
    return here or there


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
