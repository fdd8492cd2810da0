// Every neuron in int64: the native reference, and the kernel where 32-bit lanes are not exact.
#pragma once

#include <cstdint>
#include <cstring>

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

template <class Neuron>
void exact_step(const Problem& problem, const int32_t* const* constants, int32_t* const* states,
                int64_t count, const ExactRow& given) {
  const Arithmetic ops(problem);
  const ExactRow row = given;  // a copy: through the reference every store could change it
  for (int64_t n = 0; n < count; ++n) {
    const int64_t current = row.current[n] + (row.feedback != nullptr ? row.feedback[n] : 0);
    const StepResult result = Neuron::step(ops, Cell{constants, states, n}, current);
    if (row.spikes != nullptr) row.spikes[n] = static_cast<uint8_t>(result.spikes);
    if (row.membrane != nullptr) row.membrane[n] = static_cast<int32_t>(result.membrane);
  }
}

// Runs all steps of one span; a recurrent one is a whole batch element.
inline void run_exact_span(const Problem& problem, ExactStep step, int64_t first, int64_t count,
                           void* memory) {
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
    step(problem, constants, states, count,
         {problem.current + row, fed_back ? feedback : nullptr,
          problem.spikes != nullptr ? problem.spikes + row : nullptr,
          problem.membrane != nullptr ? problem.membrane + row : nullptr});
    if (recurrent) last = problem.spikes + row;
  }
  for (int slot = 0; slot < state::count; ++slot) {
    store_state(problem, static_cast<state::Slot>(slot), first, count, states[slot]);
  }
  if (problem.last_spikes_out == nullptr) return;
  uint8_t* out = problem.last_spikes_out + first;
  if (last == nullptr) {
    std::memset(out, 0, static_cast<size_t>(count));
  } else {
    std::memmove(out, last, static_cast<size_t>(count));
  }
}

inline void run_exact(const Problem& problem, ExactStep step, int64_t first, int64_t last,
                      void* scratch) {
  const int64_t span = problem.recurrent_weight != nullptr ? problem.neurons : kExactSpan;
  for (int64_t n = first; n < last; n += span) {
    run_exact_span(problem, step, n, n + span < last ? span : last - n, scratch);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
