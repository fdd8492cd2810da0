// Every neuron in int64: the native reference, and the kernel where 32-bit lanes are not exact.
#pragma once

#include <cstdint>

#include "arithmetic.h"
#include "columns.h"
#include "dynamics.h"
#include "isa_namespace.h"
#include "problem.h"
#include "recurrence.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Neurons whose constants and states stay in the first cache level while time passes.
constexpr int64_t kExactSpan = 256;

// Constants and states (int32) and feedback (int64, twice as wide), each with its alignment loss.
inline int64_t exact_scratch_bytes(const Problem& problem) {
  const bool recurrent = problem.recurrent_weight != nullptr;
  const int64_t span = recurrent ? problem.neurons : kExactSpan;
  const int64_t columns = constant::count + state::count + (recurrent ? 2 : 0);
  return columns * (span * static_cast<int64_t>(sizeof(int32_t)) + kCacheLine) + 2 * kCacheLine;
}

// Runs all steps of one span; a recurrent one is a whole batch element.
template <class Neuron>
void run_exact_span(const Problem& problem, int64_t first, int64_t count, void* memory) {
  const Arithmetic ops(problem);
  Scratch scratch(memory);
  const int32_t* constants[constant::count] = {};
  for (int slot = 0; slot < constant::count; ++slot) {
    if (problem.constants[slot].values == nullptr) continue;
    int32_t* column = scratch.take<int32_t>(count);
    expand(problem.constants[slot], problem.neurons, first, count, column);
    constants[slot] = column;
  }
  int32_t* states[state::count];
  for (int slot = 0; slot < state::count; ++slot) {
    states[slot] = scratch.take<int32_t>(count);
    load_state(problem, static_cast<state::Slot>(slot), first, count, states[slot]);
  }
  const bool recurrent = problem.recurrent_weight != nullptr;
  int64_t* feedback = recurrent ? scratch.take<int64_t>(count) : nullptr;
  const uint8_t* last = problem.last_spikes_in == nullptr ? nullptr : problem.last_spikes_in + first;

  for (int64_t t = 0; t < problem.steps; ++t) {
    const int64_t row = t * problem.batch * problem.neurons + first;
    const bool fed_back = recurrent && last != nullptr;
    if (fed_back) gather_feedback(last, problem.recurrent_weight, count, feedback);
    for (int64_t n = 0; n < count; ++n) {
      const int64_t current = problem.current[row + n] + (fed_back ? feedback[n] : 0);
      const StepResult result = Neuron::step(ops, Cell{constants, states, n}, current);
      if (problem.spikes != nullptr) problem.spikes[row + n] = static_cast<uint8_t>(result.spikes);
      if (problem.membrane != nullptr) {
        problem.membrane[row + n] = static_cast<int32_t>(result.membrane);
      }
    }
    if (recurrent) last = problem.spikes + row;
  }
  for (int slot = 0; slot < state::count; ++slot) {
    store_state(problem, static_cast<state::Slot>(slot), first, count, states[slot]);
  }
  if (problem.last_spikes_out != nullptr) {
    for (int64_t n = 0; n < count; ++n) {
      problem.last_spikes_out[first + n] = last == nullptr ? 0 : last[n];
    }
  }
}

template <class Neuron>
void run_exact(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  const int64_t span = problem.recurrent_weight != nullptr ? problem.neurons : kExactSpan;
  for (int64_t n = first; n < last; n += span) {
    run_exact_span<Neuron>(problem, n, n + span < last ? span : last - n, scratch);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
