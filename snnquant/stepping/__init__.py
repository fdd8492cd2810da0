"""One time step per call: a sequence model cut at its steps, every state an input and an output.

Time is followed from the neurons through every node (``rules``), which tells where a step is in
each value and refuses what mixes steps; ``cut`` then writes the graph of one step.
"""

from snnquant.stepping.cut import step_model
from snnquant.stepping.interface import (
    StepInterface,
    initial_states,
    is_step_model,
    step_interface,
)

__all__ = ["StepInterface", "initial_states", "is_step_model", "step_interface", "step_model"]
