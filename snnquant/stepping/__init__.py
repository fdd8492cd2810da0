"""One time step per call: a sequence model cut at its steps, every state an input and an output.

Time is followed from the neurons through every node (``rules``), which tells where a step is in
each value and refuses what mixes steps; ``cut`` then writes the graph of one step.
"""

from snnquant.stepping.check import StepCheck, check_steps
from snnquant.stepping.cut import step_model
from snnquant.stepping.interface import (
    STEP_MODE,
    StepInterface,
    initial_states,
    is_step_model,
    step_interface,
)
from snnquant.stepping.running import StepRunner, open_runner
from snnquant.stepping.session import StepSession

#: What ``convert`` can write: whole sequences per call, or one time step.
MODES = ("sequence", STEP_MODE)

__all__ = [
    "MODES",
    "STEP_MODE",
    "StepCheck",
    "StepInterface",
    "StepRunner",
    "StepSession",
    "check_steps",
    "initial_states",
    "is_step_model",
    "open_runner",
    "step_interface",
    "step_model",
]
