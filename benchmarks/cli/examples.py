"""What ``--help`` shows under its options: commands that can be pasted."""

from __future__ import annotations

_SB = "samplerbench"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("run quick", "run quick --plugin my_solver.py --sampler my_solver", "list samplers", "show results/runs/quick-*"),
    "run": (
        "run quick",
        "run quick --model fashion --sampler heun --sampler 'ddim(eta=0.5)' --nfe 5,10,20",
        "run quick --model my_model.py:factory --out results/runs/mine",
        "run exact --sampler dpmpp_2m --until-decided --baseline heun",
        "run mine.toml --trust-suite",
    ),
    "plan": ("plan full", "plan quick --model fashion --nfe 5,10 --json"),
    "status": ("status results/runs/mine", "status results/runs/mine --json"),
    "report": ("report results/runs/mine", "report results/runs/mine results/runs/theirs --out both.html"),
    "show": ("show results/runs/mine", "show results/runs/mine --metric rmse --baseline heun", "show results/runs/mine --errors"),
    "figures": ("figures results/runs/mine", "figures results/runs/mine --kind pareto --format pdf --width double"),
    "compare": ("compare results/runs/before results/runs/after", "compare results/runs/mine --baseline heun --margin 2%"),
    "gate": ("gate results/runs/before results/runs/after", "gate results/runs/before results/runs/after --no-time --quality-margin 2%"),
    "tune": ("tune --model fashion --sampler euler --sampler heun --nfe 5,10 --out tuned.json",),
    "list": ("list samplers", "list samplers --profile 10", "list suites", "list metrics --json"),
    "check": ("check heun 'ddim(eta=0.5)'", "check my_solver --plugin my_solver.py", "check --all"),
    "calibrate": ("calibrate --quick",),
    "new-solver": ("new-solver my_solver", "new-solver my_solver --out packages"),
    "new-metric": ("new-metric my_metric", "new-metric my_metric --out packages"),
    "export": ("export 'karras(rho=7):10:0.002:80' --to diffusers", "export --schedule uniform_lambda --steps 20 --model fashion"),
    "cite": ("cite heun dpmpp_2m",),
    "doctor": ("doctor", "doctor --json"),
    "explain": ("explain --fast", "explain --rows 1,3"),
}
"""By command; "" is the command line itself."""


def epilog(command: str) -> str:
    """The examples of a command as typer prints them line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {_SB} {line}" for line in EXAMPLES[command])
