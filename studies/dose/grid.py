"""Run `classify` on one arm after the other in a workspace, each at a weight of its own, in a single process:
`python -m studies.dose.grid classic+dcgan_2_at_0_1=0.1 ...`. To start one for each would take most of the time.
"""

from augury.pipeline.params import load
from stages import classify
from studies.workspace import run


def main(*weighed: str) -> None:
    params = load()
    for arm, _, weight in (each.rpartition("=") for each in weighed):
        section = params.classify.model_copy(update={"synthetic_weight": [float(weight)]})
        classify.main(params.model_copy(update={"classify": section}), arm)


if __name__ == "__main__":
    run("dose", main)
