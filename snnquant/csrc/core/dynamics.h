// Building blocks that the neurons share, as in snnquant/neurons/dynamics.py.
#pragma once

#include <cstdint>

#include "arithmetic.h"
#include "isa_namespace.h"
#include "names.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// One neuron of a span: its constants and its states. States fit 32 bits between steps.
struct Cell {
  const int32_t* const* constants;
  int32_t* const* states;
  int64_t n;

  int64_t operator[](constant::Slot slot) const { return constants[slot][n]; }
  int64_t operator[](state::Slot slot) const { return states[slot][n]; }
  void set(state::Slot slot, int64_t value) const {
    states[slot][n] = static_cast<int32_t>(value);
  }
};

// What one step of one neuron gives: spikes, and the membrane after integration.
struct StepResult {
  int64_t spikes;
  int64_t membrane;
};

// The current that reaches the membrane: none while the neuron is refractory.
inline int64_t block(const Arithmetic& ops, const Cell& cell, int64_t current) {
  return ops.refractory && cell[state::r] != 0 ? 0 : current;
}

inline int64_t integrate(const Arithmetic& ops, const Cell& cell, int64_t current) {
  return ops.saturate(add(cell[state::v], current));
}

inline int64_t reset_membrane(const Arithmetic& ops, const Cell& cell, int64_t v, int64_t spikes,
                              int64_t reset_by) {
  if (ops.reset == reset::hard) return spikes == 0 ? v : cell[constant::v_reset];
  if (ops.reset == reset::none) return v;
  return subtract(v, multiply(spikes, reset_by));
}

// The membrane that the next step starts from; saturated once, at the end.
inline int64_t reset_and_leak(const Arithmetic& ops, const Cell& cell, int64_t v3, int64_t spikes,
                              int64_t reset_by) {
  const int64_t alpha = cell[constant::alpha];
  const int64_t bias = cell[constant::leak_bias];
  if (ops.reset_after_leak) {
    const int64_t leaked = add(ops.scale(alpha, v3), bias);
    return ops.saturate(reset_membrane(ops, cell, leaked, spikes, reset_by));
  }
  const int64_t kept = reset_membrane(ops, cell, v3, spikes, reset_by);
  return ops.saturate(add(ops.scale(alpha, kept), bias));
}

// The refractory counter: restarted by a spike, else one less, never below 0.
inline void count_down(const Arithmetic& ops, const Cell& cell, int64_t spikes) {
  if (!ops.refractory) return;
  const int64_t next =
      spikes == 0 ? larger(cell[state::r] - 1, 0) : cell[constant::refractory_steps];
  cell.set(state::r, next);
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
