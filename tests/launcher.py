"""Starts trainings for test_training_processes.py, which are killed, in the checkout that is the current folder.

Forks a process per line of its input (SECONDS_BETWEEN_CHECKPOINTS, stage, architecture), so that what takes longest,
the imports, is paid for once. Answers with the process's number, and with its exit status when it has ended.
"""

import functools
import gc
import os
import sys

import diffusers.models.unets.unet_2d  # noqa: F401  # what a stage imports while it runs
import timm  # noqa: F401
import torch

from augury.generators import checkpoints, snapshots, training_run
from augury.pipeline.stage import run_entry
from models import diffusion_pipeline  # noqa: F401
from stages import prepare, train_diffusion, train_gan, train_vae

STAGES = {"prepare": prepare, "train_diffusion": train_diffusion, "train_gan": train_gan, "train_vae": train_vae}


def main() -> None:
    checkpoints.code_of = functools.cache(checkpoints.code_of)
    for section in ("train_diffusion", "train_gan.dcgan", "train_gan.stylegan", "train_vae"):
        checkpoints.code_of(section)  # which takes a fork longer than some steps
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        seconds, stage, *architecture = line.split()
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            snapshots.DRAWN = 40
            checkpoints.SECONDS_BETWEEN_CHECKPOINTS = float(seconds)
            training_run.STEPS_BETWEEN_LOOKS = 32 if float(seconds) else 1  # what was not looked at is not saved
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 2)
            sys.argv[1:] = ["0", *architecture]
            run_entry(stage, STAGES[stage].main, *["architecture"] * len(architecture))
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
