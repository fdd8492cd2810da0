// Leaky integrator, a read-out that never fires, as in snnquant/neurons/li.py.
#pragma once

#include "dynamics.h"

namespace snnquant {
namespace SNNQUANT_ISA {

struct Li {
  static StepResult step(const Arithmetic& ops, const Cell& cell, int64_t current) {
    int64_t seen = ops.align(current);
    if (ops.synaptic) {
      const int64_t decayed = ops.scale(cell[constant::alpha_syn], cell[state::i]);
      seen = ops.saturate(add(decayed, seen));
      cell.set(state::i, seen);
    }
    const int64_t v3 = integrate(ops, cell, seen);
    const int64_t leaked = ops.scale(cell[constant::alpha], v3);
    cell.set(state::v, ops.saturate(add(leaked, cell[constant::leak_bias])));
    return {0, v3};
  }
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
