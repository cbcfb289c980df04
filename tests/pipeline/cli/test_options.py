"""What `train`'s options say, and what they leave to the recipe."""

from dataclasses import fields
from inspect import signature

from pipeline.cli import main
from pipeline.cli.options import given_options, training_option
from pipeline.training.hyperparameters import Hyperparameters, by_recipe


def test_every_hyperparameter_is_an_option_whose_default_is_the_recipe_s():
    options = signature(main.train).parameters

    assert all(options[field.name].default is None for field in fields(Hyperparameters))


def test_help_says_what_each_recipe_has():
    assert training_option("learning_rate").show_default == "0; notebook: 5e-05"
    assert training_option("warmup").show_default == "0.03; notebook: 0"
    assert training_option("lora_rank").show_default == "16"


def test_options_that_are_given_go_before_the_recipe_and_others_are_left_to_it():
    given = {"epochs": 1.0, "seed": None, "dataset": "folder"}

    settings = by_recipe("notebook", given_options(Hyperparameters, given))

    assert (settings.epochs, settings.seed, settings.schedule) == (1, 0, "linear")
