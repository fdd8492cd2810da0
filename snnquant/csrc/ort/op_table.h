// The integer ops of the domain, as data generated from the Python schema.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/names.h"

namespace snnquant {

// ONNX element types.
enum class ElementType : int { uint8 = 2, int8 = 3, int32 = 6 };

// What an input or output is to the kernel; the slot says which constant or state.
enum class Role {
  current,
  input,
  weight,
  bias,
  residual,
  recurrent_weight,
  constant,
  state,
  last_spikes,
  spikes,
  membrane,
  sum,
};

// What an op is to its kernel.
enum class Family {
  neuron,
  fused,
  synapse,
  spike_max_pool,
  spike_sum_pool,
  spike_add,
  time_sum,
  machine_peak,
};

enum class Synapse { none, linear, conv };

constexpr int kStartsAtZero = -1;

struct PortEntry {
  const char* name;
  ElementType type;
  Role role;
  int slot;
};

struct AttributeEntry {
  const char* name;
  attribute::Slot slot;
  int low, high;
  const char* doc;
};

struct ListEntry {
  const char* name;
  list_attribute::Slot slot;
  int low;
  const char* doc;

  // So far that no size that is worked out from entries leaves 64 bits.
  bool fits(int64_t value) const { return value >= low && value <= INT32_MAX; }
};

struct StateEntry {
  state::Slot slot;
  int initial;  // slot of a constant, or kStartsAtZero
};

template <class T>
struct Span {
  const T* items;
  size_t size;
  const T* begin() const { return items; }
  const T* end() const { return items + size; }
  const T& operator[](size_t k) const { return items[k]; }
};

template <class T, size_t count>
constexpr Span<T> span(const T (&items)[count]) {
  return {items, count};
}

struct OpEntry {
  const char* name;
  Family family;
  Synapse synapse;
  neuron::Slot neuron;  // count: there are no neurons
  bool recurrent, stateful, with_membrane, is_static, residual;
  Span<PortEntry> inputs, outputs;
  Span<AttributeEntry> attributes;
  Span<ListEntry> lists;
  Span<StateEntry> states;
};

#include "op_table.inc"

}  // namespace snnquant
