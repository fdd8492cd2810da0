// Scratch memory of a span of neurons, and how constants and states are laid out in it.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"
#include "problem.h"

namespace snnquant {
namespace SNNQUANT_ISA {

constexpr int64_t kCacheLine = 64;

// Hands out consecutive aligned pieces of a block of memory.
class Scratch {
 public:
  explicit Scratch(void* memory) : next_(align(reinterpret_cast<uintptr_t>(memory))) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ = align(next_ + static_cast<uintptr_t>(count) * sizeof(T));
    return piece;
  }

 private:
  static uintptr_t align(uintptr_t address) {
    return (address + kCacheLine - 1) / kCacheLine * kCacheLine;
  }

  uintptr_t next_;
};

// Writes the constant of the neurons first..first+count-1 of [batch][neurons], one per neuron.
inline void expand(const Constant& constant, int64_t neurons, int64_t first, int64_t count,
                   int32_t* out) {
  const int64_t each = constant.neurons_per_value;
  const int64_t values = neurons / each;
  const int64_t neuron = first % neurons;
  int64_t index = neuron / each;
  int64_t left = each - neuron % each;  // neurons that still take the value at index
  for (int64_t n = 0; n < count;) {
    if (each == 1) {
      // Copy to the end of the batch element at once.
      const int64_t run = values - index < count - n ? values - index : count - n;
      std::memcpy(out + n, constant.values + index, static_cast<size_t>(run) * sizeof(int32_t));
      n += run;
      index = 0;
      continue;
    }
    const int64_t stop = left < count - n ? n + left : count;
    const int32_t value = constant.values[index];
    for (; n < stop; ++n) out[n] = value;
    left = each;
    index = index + 1 < values ? index + 1 : 0;
  }
}

// Writes the states with which a span starts.
inline void load_state(const Problem& problem, state::Slot slot, int64_t first, int64_t count,
                       int32_t* out) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(int32_t);
  if (problem.states_in[slot] != nullptr) {
    std::memcpy(out, problem.states_in[slot] + first, bytes);
  } else if (problem.initial[slot].values != nullptr) {
    expand(problem.initial[slot], problem.neurons, first, count, out);
  } else {
    std::memset(out, 0, bytes);
  }
}

inline void store_state(const Problem& problem, state::Slot slot, int64_t first, int64_t count,
                        const int32_t* values) {
  int32_t* out = problem.states_out[slot];
  if (out == nullptr) return;
  std::memcpy(out + first, values, static_cast<size_t>(count) * sizeof(int32_t));
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
