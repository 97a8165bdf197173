"""Forty calls as one program: the model writes Python that calls the tools, and reads only what it prints.

python examples/08_program/main.py                         three ways on the simulator, no key: steps and tokens of each
MODEL=glm-5.3-flash python examples/08_program/main.py     on GLM, with ZAI_API_KEY: what it makes of it
"""

import os
from pathlib import Path

from glm_agent import Agent, TurnResult, tool

HERE = Path(__file__).parent
CITIES = ["Aachen", "Bremen", "Celle", "Dresden"]
QUESTION = "Which city owes us most, over all open invoices, and how much?"


@tool(read_only=True)
def customers() -> list[str]:
    """Numbers of all customers."""
    return [f"C-{number:02}" for number in range(40)]


@tool(read_only=True)
def account(customer: str) -> dict[str, object]:
    """Address and invoices of a customer.

    Args:
        customer: The customer's number.
    """
    number = int(customer.removeprefix("C-"))
    invoices = [
        {"id": f"{customer}-{n}", "cents": 1_000 * n + 37 * number, "is_open": (number + n) % 3 == 0}
        for n in range(1, 7)
    ]
    return {"customer": customer, "city": CITIES[number % 4], "street": f"High Street {number}", "invoices": invoices}


def run(model: str) -> TurnResult:
    """One turn. ``programs`` offers ``run_python``; everything else is as always."""
    agent = Agent(model, tools=[customers, account, "programs"], permissions={"allow": ["*"]})
    return agent.run_sync(QUESTION)


def show(name: str, result: TurnResult) -> None:
    usage = result.usage
    print(f"{name:<22} {result.steps:>5} {usage.input_tokens:>12,} {usage.output_tokens:>13,}   {result.output}")


if __name__ == "__main__":
    print(f"{'':<22} {'steps':>5} {'input tokens':>12} {'output tokens':>13}   answer")
    if model := os.environ.get("MODEL"):
        show(model, run(model))
    else:
        for name in ("ten_at_a_time", "all_at_once", "one_program"):
            show(name.replace("_", " "), run(f"simulate:{HERE / name}.yaml"))
