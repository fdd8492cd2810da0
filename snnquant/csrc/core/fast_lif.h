// LIF in 32-bit lanes: the loops that compilers turn into vector code.
//
// A span's state stays in the first cache level while its currents stream by once, row after row.
#pragma once

#include <cstdint>

#include "columns.h"
#include "isa_namespace.h"
#include "narrow.h"
#include "problem.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// What a spike does, in a form in which the constants are already combined.
enum class Form {
  replace,            // the next membrane is a constant
  subtract_and_leak,  // on_spike is taken away before the leak
  leak_and_subtract,  // the leak adds another bias
};

// One value for all neurons, used like a column.
struct Same {
  int32_t value;
  int32_t operator[](int64_t) const { return value; }
};

// Constants of a span, prepared for Form; Column is Same or a pointer.
template <class Column>
struct LifColumns {
  Column alpha, fire_above, refractory_steps;
  Column bias, from, to;                    // SaturatingBias of a silent step
  Column on_spike;                          // next membrane, or what is subtracted
  Column spike_bias, spike_from, spike_to;  // SaturatingBias of a firing step
};
constexpr int kLifColumns = 10;

// Prepared constants of one neuron.
inline LifColumns<Same> prepare_lif(const Arithmetic& ops, Form form,
                                    const int32_t (&value)[constant::count]) {
  const int64_t alpha = value[constant::alpha];
  const int64_t leak_bias = value[constant::leak_bias];
  const int64_t reset_by = ops.reset == reset::none ? 0 : value[constant::reset_by];
  const SaturatingBias silent = saturating_bias(ops, leak_bias);
  SaturatingBias firing = silent;
  int64_t on_spike = reset_by;
  if (form == Form::replace) {
    const int64_t v_reset = value[constant::v_reset];
    on_spike = ops.saturate(ops.reset_after_leak ? v_reset : ops.scale(alpha, v_reset) + leak_bias);
  } else if (form == Form::leak_and_subtract) {
    firing = saturating_bias(ops, leak_bias - reset_by);
  }
  return {{value[constant::alpha]},
          {value[constant::fire_above]},
          {ops.refractory ? value[constant::refractory_steps] : 0},
          {silent.bias},
          {silent.from},
          {silent.to},
          {static_cast<int32_t>(on_spike)},
          {firing.bias},
          {firing.from},
          {firing.to}};
}

// One step of a span. General adds the refractory time and the shift of the current.
template <Form form, bool general, bool with_membrane, class Column>
void lif_row(const NarrowArithmetic& ops, const LifColumns<Column>& p, int64_t count,
             const int32_t* current, int32_t* v, int32_t* r, uint8_t* spikes, int32_t* membrane) {
  // Copies: through the references every store could change them.
  const NarrowArithmetic arithmetic = ops;
  const LifColumns<Column> c = p;
  SNNQUANT_INDEPENDENT_LOOP
  for (int64_t n = 0; n < count; ++n) {
    int32_t v3;
    if (general) {
      v3 = arithmetic.align_and_integrate(v[n], r[n] == 0 ? current[n] : 0);
    } else {
      v3 = arithmetic.integrate(v[n], current[n]);
    }
    const bool fires = v3 > c.fire_above[n];
    if (form == Form::replace) {
      const int32_t leaked = arithmetic.scale(c.alpha[n], v3);
      const int32_t silent = smaller32(larger32(leaked, c.from[n]), c.to[n]) + c.bias[n];
      v[n] = fires ? c.on_spike[n] : silent;
    } else if (form == Form::subtract_and_leak) {
      const int32_t leaked = arithmetic.scale(c.alpha[n], v3 - (fires ? c.on_spike[n] : 0));
      v[n] = smaller32(larger32(leaked, c.from[n]), c.to[n]) + c.bias[n];
    } else {
      const int32_t leaked = arithmetic.scale(c.alpha[n], v3);
      const int32_t from = fires ? c.spike_from[n] : c.from[n];
      const int32_t to = fires ? c.spike_to[n] : c.to[n];
      v[n] = smaller32(larger32(leaked, from), to) + (fires ? c.spike_bias[n] : c.bias[n]);
    }
    if (general) r[n] = fires ? c.refractory_steps[n] : larger32(r[n], 1) - 1;
    if (with_membrane) membrane[n] = v3;
    spikes[n] = fires;
  }
}

constexpr int64_t kUniformSpan = 4096;
constexpr int64_t kVaryingSpan = 1024;

inline int64_t fast_lif_scratch_bytes() {
  constexpr int64_t uniform = 2 * kUniformSpan;
  constexpr int64_t varying = (2 + kLifColumns + constant::count) * kVaryingSpan;
  constexpr int64_t most = uniform > varying ? uniform : varying;
  return most * static_cast<int64_t>(sizeof(int32_t)) + 32 * kCacheLine;
}

// All steps of one span.
template <Form form, bool general, bool with_membrane, class Column>
void lif_span(const Problem& problem, const Arithmetic& ops, const LifColumns<Column>& columns,
              int64_t first, int64_t count, Scratch scratch) {
  const NarrowArithmetic narrow(ops);
  int32_t* v = scratch.take<int32_t>(count);
  int32_t* r = scratch.take<int32_t>(count);
  load_state(problem, state::v, first, count, v);
  load_state(problem, state::r, first, count, r);
  if (!ops.refractory) store_state(problem, state::r, first, count, r);
  if (general && !ops.refractory) {
    for (int64_t n = 0; n < count; ++n) r[n] = 0;
  }
  for (int64_t t = 0; t < problem.steps; ++t) {
    const int64_t row = t * problem.batch * problem.neurons + first;
    lif_row<form, general, with_membrane>(narrow, columns, count, problem.current + row, v, r,
                                          problem.spikes + row,
                                          with_membrane ? problem.membrane + row : nullptr);
  }
  store_state(problem, state::v, first, count, v);
  if (ops.refractory) store_state(problem, state::r, first, count, r);
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
