"""Looks at what the machine must have: a GPU where one is asked for, the program that retrains."""

import shutil

import ctranslate2

from bot.checks.finding import Finding, ok, wrong
from bot.settings import Settings


def device(settings: Settings) -> Finding:
    """Ask CTranslate2, which runs the model, whether it sees the GPU that DEVICE names."""
    try:
        gpus = ctranslate2.get_cuda_device_count()
    except RuntimeError:  # a driver that is too old for it
        gpus = 0
    if settings.device == "cuda" and not gpus:
        return wrong(
            "DEVICE",
            "cuda, and CTranslate2 sees no GPU: write DEVICE=auto or DEVICE=cpu into .env, or "
            "install NVIDIA's driver and CUDA 12's cuBLAS (`nvidia-smi` must show the GPU)",
        )
    runs_on = "the GPU" if gpus and settings.device != "cpu" else "the CPU"
    return ok("DEVICE", f"{settings.device}, the model runs on {runs_on}")


def retraining(settings: Settings) -> list[Finding]:
    """Look for the program that RETRAIN_COMMAND begins with, where there is one."""
    if settings.retrain_command is None:
        return []
    program = settings.retrain_command[0]
    if found := shutil.which(program):
        return [ok("RETRAIN_COMMAND", f"runs {found}")]
    return [
        wrong(
            "RETRAIN_COMMAND",
            f"there is no program {program} that could be run: write its whole path",
        )
    ]
