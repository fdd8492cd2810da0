"""The op set of domain ``snnquant``: schemas from the neurons, and their function bodies."""

from snnquant.ops.attach import attach_functions
from snnquant.ops.schema import DOMAIN, OPSET_VERSION, OpSchema, op_name, schemas

__all__ = ["DOMAIN", "OPSET_VERSION", "OpSchema", "attach_functions", "op_name", "schemas"]
