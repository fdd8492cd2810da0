// Exact integer arithmetic of a step, as in snnquant/neurons/arithmetic.py.
//
// Intermediates are int64. Sums and products wrap where constants outside every sensible range
// overflow even that, as they do in the reference.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "names.h"
#include "problem.h"

namespace snnquant {
namespace SNNQUANT_ISA {

inline int64_t add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t subtract(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
inline int64_t multiply(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Arithmetic {
  int leak_shift;
  int leak_rounding;
  int current_shift;
  int64_t low, high;  // limits of the state
  int reset;
  bool reset_after_leak;
  bool refractory;
  bool synaptic;
  int64_t max_spikes;

  explicit Arithmetic(const Problem& problem) {
    const int32_t* value = problem.attributes;
    leak_shift = value[attribute::leak_shift];
    leak_rounding = value[attribute::leak_rounding];
    current_shift = value[attribute::current_shift];
    high = (int64_t{1} << (value[attribute::state_bits] - 1)) - 1;
    low = -1 - high;
    reset = value[attribute::reset];
    reset_after_leak = value[attribute::reset_after_leak] != 0;
    refractory = value[attribute::refractory] != 0;
    synaptic = value[attribute::synaptic] != 0;
    max_spikes = value[attribute::max_spikes];
  }

  int64_t saturate(int64_t v) const { return smaller(larger(v, low), high); }

  // current * 2**current_shift, to nearest where the shift goes right.
  int64_t align(int64_t current) const {
    if (current_shift >= 0) return multiply(current, int64_t{1} << current_shift);
    return shift_right(current, -current_shift, rounding::nearest);
  }

  // multiplier * v / 2**leak_shift, rounded as the target rounds.
  int64_t scale(int64_t multiplier, int64_t v) const {
    return shift_right(multiply(multiplier, v), leak_shift, leak_rounding);
  }

  int64_t fire(int64_t v, int64_t fire_above, int64_t reset_by) const {
    if (max_spikes == 1) return v > fire_above;
    const int64_t excess = larger(v - fire_above, 0);
    const int64_t divisor = larger(reset_by, 1);
    return smaller((excess + divisor - 1) / divisor, max_spikes);
  }

 private:
  static int64_t shift_right(int64_t x, int shift, int how) {
    const int64_t divisor = int64_t{1} << shift;
    if (how == rounding::nearest) {
      x = add(x, divisor >> 1);
    } else if (how == rounding::ceil) {
      x = add(x, divisor - 1);
    } else if (how == rounding::toward_zero) {
      x = add(x, x < 0 ? divisor - 1 : 0);
    }
    return x >> shift;
  }
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
