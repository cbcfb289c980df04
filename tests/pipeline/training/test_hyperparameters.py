"""Recipes, values that override them, and invalid values."""

import pytest

from model.errors import TrainingError
from pipeline.training.hyperparameters import Hyperparameters, by_recipe


def test_the_notebook_s_recipe_is_the_notebook_s():
    settings = by_recipe("notebook", {})

    assert (settings.learning_rate, settings.epochs, settings.batch_size) == (5e-5, 4, 8)
    assert (settings.schedule, settings.warmup) == ("linear", 0)
    assert (settings.batching, settings.precision) == ("uniform", "float32")
    assert settings.evaluations == 0


def test_given_values_override_a_recipe():
    settings = by_recipe("notebook", {"epochs": 1.0, "seed": 3})

    assert (settings.epochs, settings.seed, settings.learning_rate) == (1, 3, 5e-5)


@pytest.mark.parametrize(
    "option",
    ["epochs", "minutes", "batch_size", "learning_rate", "warmup", "weight_decay",
     "lora_rank", "lora_alpha", "evaluations", "patience", "validation_pairs", "canary_count",
     "max_prompt_tokens", "max_reply_tokens", "seed"],
)  # fmt: skip
def test_values_out_of_range_are_refused(option):
    with pytest.raises(TrainingError, match=f"{option.replace('_', '-')}: must be a .*, not -1"):
        Hyperparameters(**{option: -1})


@pytest.mark.parametrize("option", ["batching", "example_type", "precision", "schedule"])
def test_unknown_words_are_refused(option):
    with pytest.raises(
        TrainingError, match=f"{option.replace('_', '-')}: must be .* or .*, not soup"
    ):
        Hyperparameters(**{option: "soup"})


def test_a_base_s_or_family_s_rate_is_used_unless_another_is_given():
    assert Hyperparameters().rate("decoder-only", "gemma3-270m") == 5e-5
    assert Hyperparameters().rate("decoder-only", "llama") == 2e-4
    assert Hyperparameters(lora=True).rate("decoder-only", "llama") == 1e-3
    assert Hyperparameters(lora=True, learning_rate=1e-5).rate("decoder-only", "llama") == 1e-5
