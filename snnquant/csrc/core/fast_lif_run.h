// LIF in 32-bit lanes over time, and the choice of its loop.
//
// A span's state stays in the nearest caches while its currents stream by once, row after row.
#pragma once

#include <cstdint>
#include <cstring>

#include "columns.h"
#include "fast_lif.h"
#include "isa_namespace.h"

namespace snnquant {
namespace SNNQUANT_ISA {

constexpr int64_t kUniformSpan = 8192;
constexpr int64_t kVaryingSpan = 1024;

inline int64_t fast_lif_scratch_bytes() {
  // v, r, and the columns.
  constexpr int64_t uniform = 2 * kUniformSpan;
  constexpr int64_t varying = (2 + kLifColumns + kLifConstants) * kVaryingSpan;
  constexpr int64_t most = uniform > varying ? uniform : varying;
  return most * static_cast<int64_t>(sizeof(int32_t)) + 32 * kCacheLine;
}

inline bool within(const int32_t* values, int64_t count, int32_t low, int32_t high) {
  int32_t outside = 0;
  for (int64_t n = 0; n < count; ++n) outside |= (values[n] < low) | (values[n] > high);
  return outside == 0;
}

// Takes room for whole blocks of values and clears the end that stays unused.
inline int32_t* take_blocks(Scratch& scratch, int64_t count) {
  const int64_t room = whole_blocks(count);
  int32_t* values = scratch.take<int32_t>(room);
  for (int64_t n = count; n < room; ++n) values[n] = 0;
  return values;
}

// The loop of a span's steps, and what it needs to know about them.
struct LifLoop {
  const Problem& problem;
  const Arithmetic choices;
  const Form form;
  const Scope scope;
  const LifStep step;
};

inline LifLoop general_loop(const Problem& problem, const Arithmetic& choices, Form form) {
  return {problem, choices, form, Scope::general,
          choices.current_shift < 0 ? lif_step_general<true> : lif_step_general<false>};
}

// All steps of one span. Does nothing and returns false if its states do not fit the scope.
inline bool run_lif_span(const LifLoop& loop, const LifColumns<const int32_t*>& columns,
                         int64_t first, int64_t count, Scratch scratch) {
  const Problem& problem = loop.problem;
  const NarrowArithmetic ops(loop.choices);
  int32_t* v = take_blocks(scratch, count);
  int32_t* r = take_blocks(scratch, count);
  load_state(problem, state::v, first, count, v);
  if (loop.scope == Scope::below_32_bits && !within(v, count, ops.low, ops.high)) return false;
  load_state(problem, state::r, first, count, r);
  if (!loop.choices.refractory) {
    store_state(problem, state::r, first, count, r);
    std::memset(r, 0, static_cast<size_t>(count) * sizeof(int32_t));
  }
  LastBlock rest = {};
  const int64_t stride = problem.batch * problem.neurons;
  for (int64_t t = 0; t < problem.steps; ++t) {
    const int64_t at = t * stride + first;
    int32_t* membrane = problem.membrane != nullptr ? problem.membrane + at : nullptr;
    const int64_t to_next = t + 1 < problem.steps ? stride : 0;
    loop.step(ops, columns, count,
              {problem.current + at, v, r, problem.spikes + at, membrane, &rest, to_next});
  }
  store_state(problem, state::v, first, count, v);
  if (loop.choices.refractory) store_state(problem, state::r, first, count, r);
  return true;
}

// Constants per channel or per neuron: they are laid out as columns beside the state.
inline void run_varying(const LifLoop& loop, int64_t first, int64_t last, void* memory) {
  const Problem& problem = loop.problem;
  const Arithmetic choices = loop.choices;
  const NarrowArithmetic ops(choices);
  const LifMasks masks(choices, loop.form, loop.scope == Scope::general);
  for (int64_t start = first; start < last; start += kVaryingSpan) {
    const int64_t count = last - start < kVaryingSpan ? last - start : kVaryingSpan;
    Scratch scratch(memory);
    const auto given = [&](constant::Slot slot) {
      int32_t* column = take_blocks(scratch, count);
      expand(problem.constants[slot], problem.neurons, start, count, column);
      return column;
    };
    const LifConstants<const int32_t*> raw = {
        given(constant::alpha),    given(constant::leak_bias), given(constant::fire_above),
        given(constant::reset_by), given(constant::v_reset),   given(constant::refractory_steps)};
    const auto column = [&] { return scratch.take<int32_t>(whole_blocks(count)); };
    const LifColumns<int32_t*> out = {column(), column(), column(), column(), column(),
                                      column(), column(), column(), column(), column()};
    for (int64_t block = 0; block < count; block += kLifBlock) {
      SNNQUANT_INDEPENDENT_LOOP
      for (int64_t n = block; n < block + kLifBlock; ++n) {
        const LifColumns<int32_t> p =
            prepare_lif(ops, masks,
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
    }
    const LifColumns<const int32_t*> columns = {
        out.multiplier, out.fire_above, out.refractory_steps, out.bias,       out.from,
        out.to,         out.on_spike,   out.spike_bias,       out.spike_from, out.spike_to};
    if (!run_lif_span(loop, columns, start, count, scratch)) {
      run_varying(general_loop(problem, choices, loop.form), start, start + count, memory);
    }
  }
}

// One set of constants for all neurons: long spans, since only the state needs room.
inline void run_uniform(const LifLoop& loop, int64_t first, int64_t last, void* memory) {
  const Problem& problem = loop.problem;
  const auto value = [&](constant::Slot slot) { return problem.constants[slot].values[0]; };
  const LifColumns<int32_t> p = prepare_lif(
      NarrowArithmetic(loop.choices), loop.choices, loop.form,
      {value(constant::alpha), value(constant::leak_bias), value(constant::fire_above),
       value(constant::reset_by), value(constant::v_reset), value(constant::refractory_steps)});
  const LifColumns<const int32_t*> columns = {
      &p.multiplier, &p.fire_above, &p.refractory_steps, &p.bias,       &p.from,
      &p.to,         &p.on_spike,   &p.spike_bias,       &p.spike_from, &p.spike_to};
  for (int64_t start = first; start < last; start += kUniformSpan) {
    const int64_t count = last - start < kUniformSpan ? last - start : kUniformSpan;
    if (!run_lif_span(loop, columns, start, count, Scratch(memory))) {
      run_varying(general_loop(problem, loop.choices, loop.form), start, start + count, memory);
    }
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

template <Scope scope, Leak leak, class Column>
LifStep lif_step_of(Form form) {
  switch (form) {
    case Form::replace:
      return lif_step<Form::replace, scope, leak, Column>;
    case Form::subtract_and_leak:
      return lif_step<Form::subtract_and_leak, scope, leak, Column>;
    case Form::leak_and_subtract:
      break;
  }
  return lif_step<Form::leak_and_subtract, scope, Leak::biased, Column>;
}

template <Scope scope>
LifStep lif_step_of(Form form, bool varies, bool unbiased) {
  if (varies) return lif_step_of<scope, Leak::biased, Each>(form);
  if (unbiased) return lif_step_of<scope, Leak::unbiased, Same>(form);
  return lif_step_of<scope, Leak::biased, Same>(form);
}

// Runs a LIF for which lif_fits_int32() holds.
inline void run_fast_lif(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  const Arithmetic choices(problem);
  const bool late = choices.reset_after_leak && choices.reset != reset::none;
  const Form form = choices.reset == reset::hard ? Form::replace
                    : late                       ? Form::leak_and_subtract
                                                 : Form::subtract_and_leak;
  if (choices.refractory || choices.current_shift != 0 || problem.membrane != nullptr ||
      choices.leak_rounding == rounding::toward_zero) {
    return run_varying(general_loop(problem, choices, form), first, last, scratch);
  }
  const bool varies = lif_varies(problem);
  const bool unbiased = !varies && lif_unbiased(problem, choices);
  const bool full = choices.high == INT32_MAX;
  const LifLoop loop = {problem, choices, form, full ? Scope::full_width : Scope::below_32_bits,
                        full ? lif_step_of<Scope::full_width>(form, varies, unbiased)
                             : lif_step_of<Scope::below_32_bits>(form, varies, unbiased)};
  if (varies) {
    run_varying(loop, first, last, scratch);
  } else {
    run_uniform(loop, first, last, scratch);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
