// LIF with adaptive threshold and a lower bound, as in snnquant/neurons/extendedlif.py.
#pragma once

#include "dynamics.h"

namespace snnquant {
namespace SNNQUANT_ISA {

struct ExtendedLif {
  static StepResult step(const Arithmetic& ops, const Cell& cell, int64_t current) {
    const int64_t a = cell[state::a];
    const int64_t v_min = cell[constant::v_min];
    const int64_t fire_above = adapted(ops, cell[constant::fire_above], a, v_min);
    const int64_t reset_by = ops.reset == reset::soft_constant
                                 ? cell[constant::reset_by]
                                 : adapted(ops, cell[constant::reset_by], a, v_min);
    const int64_t v3 = integrate(ops, cell, block(ops, cell, ops.align(current)));
    const int64_t spikes = ops.fire(v3, fire_above, reset_by);
    cell.set(state::v, larger(reset_and_leak(ops, cell, v3, spikes, reset_by), v_min));
    cell.set(state::a, adapt(ops, cell, a, spikes));
    count_down(ops, cell, spikes);
    return {spikes, v3};
  }

 private:
  static int64_t adapted(const Arithmetic& ops, int64_t threshold, int64_t a, int64_t v_min) {
    return larger(ops.saturate(threshold + a), v_min);
  }

  static int64_t adapt(const Arithmetic& ops, const Cell& cell, int64_t a, int64_t spikes) {
    const int64_t decayed = ops.scale(cell[constant::threshold_decay], a);
    const int64_t drifted = add(decayed, cell[constant::threshold_bias]);
    return ops.saturate(add(drifted, spikes * cell[constant::threshold_increment]));
  }
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
