// One step of many LIF neurons in 32-bit lanes: the loop that compilers turn into vector code.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "narrow.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// What a spike does, in a form in which the constants are already combined.
enum class Form {
  replace,            // the next membrane is a constant
  subtract_and_leak,  // on_spike is taken away before the leak
  leak_and_subtract,  // the leak adds another bias
};

// How much the step has to handle; all but `general` leave out what would only cost time.
enum class Scope {
  full_width,     // states of 32 bits
  below_32_bits,  // fewer, and the states that are given lie within them
  general,        // any width, refractory time, shifted current, every rounding, membrane wanted
};

// Whether a silent or soft-reset membrane can leave its width after the leak. An alpha of at most 1
// moves a membrane within its width, so without a bias nothing has to be saturated.
enum class Leak { biased, unbiased };

// One value for all neurons, used like a column.
struct Same {
  int32_t value;
  int32_t operator[](int64_t) const { return value; }
};

// Constants of a span, prepared for a Form; Column is Same or a pointer.
template <class Column>
struct LifColumns {
  Column multiplier, fire_above, refractory_steps;
  Column bias, from, to;                    // of a silent step: clamp(x, from, to) + bias
  Column on_spike;                          // next membrane, or what is subtracted
  Column spike_bias, spike_from, spike_to;  // of a firing step
};
constexpr int kLifColumns = 10;

// The same columns, seen from neuron n on.
inline LifColumns<Same> from_neuron(const LifColumns<Same>& c, int64_t) { return c; }
inline LifColumns<const int32_t*> from_neuron(const LifColumns<const int32_t*>& c, int64_t n) {
  return {c.multiplier + n, c.fire_above + n, c.refractory_steps + n, c.bias + n,
          c.from + n,       c.to + n,         c.on_spike + n,         c.spike_bias + n,
          c.spike_from + n, c.spike_to + n};
}

// The constants that a LIF reads, as the op gives them.
template <class Column>
struct LifConstants {
  Column alpha, leak_bias, fire_above, reset_by, v_reset, refractory_steps;
};
constexpr int kLifConstants = 6;

inline LifColumns<int32_t> prepare_lif(const NarrowArithmetic& ops, const Arithmetic& choices,
                                       Form form, const LifConstants<int32_t>& given) {
  LifColumns<int32_t> p = {};
  p.multiplier = ops.multiplier(given.alpha);
  p.fire_above = given.fire_above;
  p.refractory_steps = choices.refractory ? given.refractory_steps : 0;
  p.bias = p.spike_bias = given.leak_bias;
  const int32_t reset_by = choices.reset == reset::none ? 0 : given.reset_by;
  if (form == Form::leak_and_subtract) p.spike_bias = given.leak_bias - reset_by;
  p.from = ops.from(p.bias);
  p.to = ops.to(p.bias);
  p.spike_from = ops.from(p.spike_bias);
  p.spike_to = ops.to(p.spike_bias);
  p.on_spike = reset_by;
  if (form == Form::replace) {
    const int32_t leaked = ops.scale<true>(p.multiplier, given.v_reset);
    p.on_spike = choices.reset_after_leak ? ops.saturate(given.v_reset)
                                          : clamp32(leaked, p.from, p.to) + p.bias;
  }
  return p;
}

// One step of a span: reads current, v, r; writes v, r, spikes, membrane. r and membrane are
// touched in the general scope only.
template <Form form, Scope scope, Leak leak, class Column>
void lif_row(const NarrowArithmetic& arithmetic, const LifColumns<Column>& columns, int64_t count,
             const int32_t* current, int32_t* v, int32_t* r, uint8_t* spikes, int32_t* membrane) {
  // Copies: through the references every store could change them.
  const NarrowArithmetic ops = arithmetic;
  const LifColumns<Column> c = columns;
  constexpr bool general = scope == Scope::general;
  const auto biased = [&c](int32_t leaked, int64_t n) {
    return leak == Leak::unbiased ? leaked : clamp32(leaked, c.from[n], c.to[n]) + c.bias[n];
  };
  SNNQUANT_INDEPENDENT_LOOP
  for (int64_t n = 0; n < count; ++n) {
    int32_t v3;
    if (general) {
      v3 = ops.align_and_integrate(v[n], r[n] == 0 ? current[n] : 0);
    } else if (scope == Scope::below_32_bits) {
      v3 = ops.integrate_below_32_bits(v[n], current[n]);
    } else {
      v3 = add_saturated(v[n], current[n]);
    }
    const bool fires = v3 > c.fire_above[n];
    if (form == Form::replace) {
      const int32_t leaked = ops.scale<general>(c.multiplier[n], v3);
      v[n] = fires ? c.on_spike[n] : biased(leaked, n);
    } else if (form == Form::subtract_and_leak) {
      const int32_t kept = v3 - (fires ? c.on_spike[n] : 0);
      const int32_t leaked = ops.scale<general>(c.multiplier[n], kept);
      v[n] = biased(leaked, n);
    } else {
      const int32_t leaked = ops.scale<general>(c.multiplier[n], v3);
      const int32_t from = fires ? c.spike_from[n] : c.from[n];
      const int32_t to = fires ? c.spike_to[n] : c.to[n];
      v[n] = clamp32(leaked, from, to) + (fires ? c.spike_bias[n] : c.bias[n]);
    }
    if (general) {
      r[n] = fires ? c.refractory_steps[n] : larger32(r[n], 1) - 1;
      membrane[n] = v3;
    }
    spikes[n] = fires;
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
