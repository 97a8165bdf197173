"""What a turn costs: ours against a hand-written loop, measured in the same minute on the same machine.

    python -m benchmarks --help

Every measurement is a process of its own and checks what it ran: the number of tool calls and the
final text. Nothing here is imported by the package.
"""
