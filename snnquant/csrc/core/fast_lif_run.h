// LIF in 32-bit lanes over time, and the choice of its loop.
//
// A span's state stays in the nearest caches while its currents stream by once, row after row.
#pragma once

#include <cstdint>

#include "columns.h"
#include "exact.h"
#include "fast_lif.h"
#include "isa_namespace.h"
#include "lif.h"

namespace snnquant {
namespace SNNQUANT_ISA {

constexpr int64_t kUniformSpan = 8192;
constexpr int64_t kVaryingSpan = 1024;
// Neurons between two rounds of prefetching; one round is no more lines than a core can wait for.
constexpr int64_t kStrip = 128;

inline int64_t fast_lif_scratch_bytes() {
  // v, r, a row of membranes nobody wants, and the columns.
  constexpr int64_t uniform = 3 * kUniformSpan;
  constexpr int64_t varying = (3 + kLifColumns + kLifConstants) * kVaryingSpan;
  constexpr int64_t most = uniform > varying ? uniform : varying;
  return most * static_cast<int64_t>(sizeof(int32_t)) + 32 * kCacheLine;
}

inline bool within(const int32_t* values, int64_t count, int32_t low, int32_t high) {
  int32_t outside = 0;
  for (int64_t n = 0; n < count; ++n) outside |= (values[n] < low) | (values[n] > high);
  return outside == 0;
}

// Starts loading the next row of a strip into the second cache level (into the first it would push
// out the state). Rows lie far apart, and no hardware foresees the jump.
inline void prefetch_strip(const int32_t* current, const uint8_t* spikes, int64_t count) {
  constexpr int64_t currents_per_line = kCacheLine / static_cast<int64_t>(sizeof(int32_t));
  for (int64_t n = 0; n < count; n += currents_per_line) SNNQUANT_PREFETCH(current + n, 0);
  for (int64_t n = 0; n < count; n += kCacheLine) SNNQUANT_PREFETCH(spikes + n, 1);
}

// All steps of one span.
template <Form form, Scope scope, Leak leak, class Column>
void lif_span(const Problem& problem, const Arithmetic& choices, const LifColumns<Column>& columns,
              int64_t first, int64_t count, void* memory, Scratch scratch) {
  const NarrowArithmetic ops(choices);
  int32_t* v = scratch.take<int32_t>(count);
  int32_t* r = scratch.take<int32_t>(count);
  int32_t* unwanted = scratch.take<int32_t>(count);
  load_state(problem, state::v, first, count, v);
  load_state(problem, state::r, first, count, r);
  if (scope == Scope::below_32_bits && !within(v, count, ops.low, ops.high)) {
    for (int64_t n = first; n < first + count; n += kExactSpan) {
      const int64_t rest = first + count - n;
      run_exact_span<Lif>(problem, n, rest < kExactSpan ? rest : kExactSpan, memory);
    }
    return;
  }
  if (!choices.refractory) {
    store_state(problem, state::r, first, count, r);
    for (int64_t n = 0; n < count; ++n) r[n] = 0;
  }
  const int64_t stride = problem.batch * problem.neurons;
  for (int64_t t = 0; t < problem.steps; ++t) {
    const int32_t* current = problem.current + t * stride + first;
    uint8_t* spikes = problem.spikes + t * stride + first;
    int32_t* membrane =
        problem.membrane != nullptr ? problem.membrane + t * stride + first : unwanted;
    for (int64_t n = 0; n < count; n += kStrip) {
      const int64_t strip = count - n < kStrip ? count - n : kStrip;
      if (t + 1 < problem.steps) prefetch_strip(current + stride + n, spikes + stride + n, strip);
      lif_row<form, scope, leak>(ops, from_neuron(columns, n), strip, current + n, v + n, r + n,
                           spikes + n, membrane + n);
    }
  }
  store_state(problem, state::v, first, count, v);
  if (choices.refractory) store_state(problem, state::r, first, count, r);
}

// One set of constants for all neurons: long spans, since only the state needs room.
template <Form form, Scope scope, Leak leak>
void run_uniform(const Problem& problem, const Arithmetic& choices, int64_t first, int64_t last,
                 void* scratch) {
  const auto value = [&](constant::Slot slot) { return problem.constants[slot].values[0]; };
  const LifColumns<int32_t> p = prepare_lif(
      NarrowArithmetic(choices), choices, form,
      {value(constant::alpha), value(constant::leak_bias), value(constant::fire_above),
       value(constant::reset_by), value(constant::v_reset), value(constant::refractory_steps)});
  const LifColumns<Same> columns = {{p.multiplier}, {p.fire_above}, {p.refractory_steps},
                                    {p.bias},       {p.from},       {p.to},
                                    {p.on_spike},   {p.spike_bias}, {p.spike_from},
                                    {p.spike_to}};
  for (int64_t n = first; n < last; n += kUniformSpan) {
    const int64_t count = last - n < kUniformSpan ? last - n : kUniformSpan;
    lif_span<form, scope, leak>(problem, choices, columns, n, count, scratch, Scratch(scratch));
  }
}

// Constants per channel or per neuron: they are laid out as columns beside the state.
template <Form form, Scope scope>
void run_varying(const Problem& problem, const Arithmetic& choices, int64_t first, int64_t last,
                 void* memory) {
  const NarrowArithmetic ops(choices);
  for (int64_t start = first; start < last; start += kVaryingSpan) {
    const int64_t count = last - start < kVaryingSpan ? last - start : kVaryingSpan;
    Scratch scratch(memory);
    const auto given = [&](constant::Slot slot) {
      int32_t* column = scratch.take<int32_t>(count);
      expand(problem.constants[slot], problem.neurons, start, count, column);
      return column;
    };
    const LifConstants<const int32_t*> raw = {
        given(constant::alpha),    given(constant::leak_bias), given(constant::fire_above),
        given(constant::reset_by), given(constant::v_reset),   given(constant::refractory_steps)};
    const auto column = [&] { return scratch.take<int32_t>(count); };
    const LifColumns<int32_t*> out = {column(), column(), column(), column(), column(),
                                      column(), column(), column(), column(), column()};
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t n = 0; n < count; ++n) {
      const LifColumns<int32_t> p =
          prepare_lif(ops, choices, form,
                      {raw.alpha[n], raw.leak_bias[n], raw.fire_above[n], raw.reset_by[n],
                       raw.v_reset[n], raw.refractory_steps[n]});
      out.multiplier[n] = p.multiplier;
      out.fire_above[n] = p.fire_above;
      out.refractory_steps[n] = p.refractory_steps;
      out.bias[n] = p.bias;
      out.from[n] = p.from;
      out.to[n] = p.to;
      out.on_spike[n] = p.on_spike;
      out.spike_bias[n] = p.spike_bias;
      out.spike_from[n] = p.spike_from;
      out.spike_to[n] = p.spike_to;
    }
    const LifColumns<const int32_t*> columns = {
        out.multiplier, out.fire_above, out.refractory_steps, out.bias,       out.from,
        out.to,         out.on_spike,   out.spike_bias,       out.spike_from, out.spike_to};
    lif_span<form, scope, Leak::biased>(problem, choices, columns, start, count, memory, scratch);
  }
}

// Whether a constant that the LIF reads differs between neurons.
inline bool lif_varies(const Problem& problem) {
  for (int slot = 0; slot < constant::count; ++slot) {
    const Constant& constant = problem.constants[slot];
    if (slot != constant::v_init && constant.values != nullptr &&
        constant.neurons_per_value < problem.neurons) {
      return true;
    }
  }
  return false;
}

// Whether Leak::unbiased holds for the one set of constants that all neurons have.
inline bool lif_unbiased(const Problem& problem, const Arithmetic& choices) {
  if (problem.constants[constant::leak_bias].values[0] != 0) return false;
  if (choices.reset == reset::hard || choices.reset == reset::none) return true;
  const int64_t fire_above = problem.constants[constant::fire_above].values[0];
  const int64_t reset_by = problem.constants[constant::reset_by].values[0];
  return !choices.reset_after_leak && reset_by >= 0 && fire_above + 1 - reset_by >= choices.low;
}

template <Form form, Scope scope>
void run_plain_lif(const Problem& problem, const Arithmetic& choices, int64_t first, int64_t last,
                   void* scratch) {
  if (lif_varies(problem)) {
    run_varying<form, scope>(problem, choices, first, last, scratch);
  } else if (lif_unbiased(problem, choices)) {
    run_uniform<form, scope, Leak::unbiased>(problem, choices, first, last, scratch);
  } else {
    run_uniform<form, scope, Leak::biased>(problem, choices, first, last, scratch);
  }
}

template <Form form>
void run_lif(const Problem& problem, const Arithmetic& choices, int64_t first, int64_t last,
             void* scratch) {
  if (choices.refractory || choices.current_shift != 0 || problem.membrane != nullptr ||
      choices.leak_rounding == rounding::toward_zero) {
    run_varying<form, Scope::general>(problem, choices, first, last, scratch);
  } else if (choices.high == INT32_MAX) {
    run_plain_lif<form, Scope::full_width>(problem, choices, first, last, scratch);
  } else {
    run_plain_lif<form, Scope::below_32_bits>(problem, choices, first, last, scratch);
  }
}

// Runs a LIF for which lif_fits_int32() holds.
inline void run_fast_lif(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  const Arithmetic choices(problem);
  if (choices.reset == reset::hard) {
    run_lif<Form::replace>(problem, choices, first, last, scratch);
  } else if (choices.reset_after_leak && choices.reset != reset::none) {
    run_lif<Form::leak_and_subtract>(problem, choices, first, last, scratch);
  } else {
    run_lif<Form::subtract_and_leak>(problem, choices, first, last, scratch);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
