// One call of a neuron kernel: sizes, structure, and pointers to plain arrays.
//
// The numeric core knows integers and arrays only; no framework type enters it.
#pragma once

#include <cstdint>

#include "names.h"

namespace snnquant {

// A constant with one value for `neurons_per_value` neighbouring neurons: all of them, one channel,
// or a single neuron. A null pointer means that the neuron has no such constant.
struct Constant {
  const int32_t* values;
  int64_t neurons_per_value;
};

// Time is outermost in memory: a timed array is [steps][batch][neurons], row by row; a state is
// [batch][neurons].
struct Problem {
  neuron::Slot neuron;
  int32_t attributes[attribute::count];

  int64_t steps;
  int64_t batch;
  int64_t neurons;  // per batch element

  const int32_t* current;
  Constant constants[constant::count];
  // First values: states given per neuron, or the constant that holds them, or zero if neither is.
  const int32_t* states_in[state::count];
  Constant initial[state::count];

  uint8_t* spikes;                    // null for a read-out
  int32_t* membrane;                  // null if not wanted
  int32_t* states_out[state::count];  // null if not wanted

  const int32_t* recurrent_weight;  // [neurons][neurons], from row to column; null if not recurrent
  const uint8_t* last_spikes_in;   // null: silence
  uint8_t* last_spikes_out;        // null if not wanted

  bool fits_int32;  // set by prepare(): the step can run exactly in 32-bit lanes
};

// One step of a span in int64, the part that differs between neurons: what it reads and writes
// besides its columns of constants and of states.
struct ExactRow {
  const int32_t* current;
  const int64_t* feedback;  // null: none
  uint8_t* spikes;          // null for a read-out
  int32_t* membrane;        // null if not wanted
};

using ExactStep = void (*)(const Problem& problem, const int32_t* const* constants,
                           int32_t* const* states, int64_t count, const ExactRow& row);

// The kernels, compiled once per instruction set.
struct Kernels {
  const char* name;
  // Decides how the problem is computed; call once, before run().
  void (*prepare)(Problem& problem);
  // Bytes of scratch memory that each concurrent run() needs.
  int64_t (*scratch_bytes)(const Problem& problem);
  // Runs all steps of the neurons first..last-1 of the flattened [batch][neurons]. Recurrent
  // problems are cut between batch elements only.
  void (*run)(const Problem& problem, int64_t first, int64_t last, void* scratch);
};

}  // namespace snnquant
