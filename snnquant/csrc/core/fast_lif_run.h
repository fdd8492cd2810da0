// Choice of the LIF loop: by form, by what varies between neurons, by what is wanted.
#pragma once

#include <cstdint>

#include "fast_lif.h"
#include "isa_namespace.h"

namespace snnquant {
namespace SNNQUANT_ISA {

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

// One set of constants for all neurons: long spans, since only the state needs room.
template <Form form, bool general, bool with_membrane>
void run_uniform(const Problem& problem, const Arithmetic& ops, int64_t first, int64_t last,
                 void* scratch) {
  int32_t value[constant::count] = {};
  for (int slot = 0; slot < constant::count; ++slot) {
    if (problem.constants[slot].values != nullptr) value[slot] = problem.constants[slot].values[0];
  }
  const LifColumns<Same> columns = prepare_lif(ops, form, value);
  for (int64_t n = first; n < last; n += kUniformSpan) {
    const int64_t count = last - n < kUniformSpan ? last - n : kUniformSpan;
    lif_span<form, general, with_membrane>(problem, ops, columns, n, count, Scratch(scratch));
  }
}

// Constants per channel or per neuron: they are laid out as columns beside the state.
template <Form form, bool general, bool with_membrane>
void run_varying(const Problem& problem, const Arithmetic& ops, int64_t first, int64_t last,
                 void* memory) {
  for (int64_t start = first; start < last; start += kVaryingSpan) {
    const int64_t count = last - start < kVaryingSpan ? last - start : kVaryingSpan;
    Scratch scratch(memory);
    int32_t* raw[constant::count] = {};
    for (int slot = 0; slot < constant::count; ++slot) {
      if (problem.constants[slot].values == nullptr) continue;
      raw[slot] = scratch.take<int32_t>(count);
      expand(problem.constants[slot], problem.neurons, start, count, raw[slot]);
    }
    int32_t* column[kLifColumns];
    for (int k = 0; k < kLifColumns; ++k) column[k] = scratch.take<int32_t>(count);
    for (int64_t n = 0; n < count; ++n) {
      int32_t value[constant::count] = {};
      for (int slot = 0; slot < constant::count; ++slot) {
        if (raw[slot] != nullptr) value[slot] = raw[slot][n];
      }
      const LifColumns<Same> one = prepare_lif(ops, form, value);
      const Same values[kLifColumns] = {one.alpha,    one.fire_above, one.refractory_steps,
                                        one.bias,     one.from,       one.to,
                                        one.on_spike, one.spike_bias, one.spike_from,
                                        one.spike_to};
      for (int k = 0; k < kLifColumns; ++k) column[k][n] = values[k].value;
    }
    const LifColumns<const int32_t*> columns = {column[0], column[1], column[2], column[3],
                                                column[4], column[5], column[6], column[7],
                                                column[8], column[9]};
    lif_span<form, general, with_membrane>(problem, ops, columns, start, count, scratch);
  }
}

template <Form form, bool general, bool with_membrane>
void run_lif_form(const Problem& problem, const Arithmetic& ops, int64_t first, int64_t last,
                  void* scratch) {
  if (lif_varies(problem)) {
    run_varying<form, general, with_membrane>(problem, ops, first, last, scratch);
  } else {
    run_uniform<form, general, with_membrane>(problem, ops, first, last, scratch);
  }
}

template <Form form>
void run_lif(const Problem& problem, const Arithmetic& ops, int64_t first, int64_t last,
             void* scratch) {
  const bool general = ops.refractory || ops.current_shift != 0;
  if (general) {
    if (problem.membrane != nullptr) {
      run_lif_form<form, true, true>(problem, ops, first, last, scratch);
    } else {
      run_lif_form<form, true, false>(problem, ops, first, last, scratch);
    }
  } else if (problem.membrane != nullptr) {
    run_lif_form<form, false, true>(problem, ops, first, last, scratch);
  } else {
    run_lif_form<form, false, false>(problem, ops, first, last, scratch);
  }
}

// Runs a LIF for which lif_fits_int32() holds.
inline void run_fast_lif(const Problem& problem, int64_t first, int64_t last, void* scratch) {
  const Arithmetic ops(problem);
  if (ops.reset == reset::hard) {
    run_lif<Form::replace>(problem, ops, first, last, scratch);
  } else if (ops.reset_after_leak && ops.reset != reset::none) {
    run_lif<Form::leak_and_subtract>(problem, ops, first, last, scratch);
  } else {
    run_lif<Form::subtract_and_leak>(problem, ops, first, last, scratch);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
