// Leaky integrate-and-fire, as in snnquant/neurons/lif.py.
#pragma once

#include "dynamics.h"

namespace snnquant {
namespace SNNQUANT_ISA {

struct Lif {
  static StepResult step(const Arithmetic& ops, const Cell& cell, int64_t current) {
    const int64_t reset_by = cell[constant::reset_by];
    const int64_t v3 = integrate(ops, cell, block(ops, cell, ops.align(current)));
    const int64_t spikes = ops.fire(v3, cell[constant::fire_above], reset_by);
    cell.set(state::v, reset_and_leak(ops, cell, v3, spikes, reset_by));
    count_down(ops, cell, spikes);
    return {spikes, v3};
  }
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
