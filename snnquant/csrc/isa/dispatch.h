// Which kernels this processor can run.
#pragma once

#include <string>

#include "../core/problem.h"

namespace snnquant {

// Name of the environment variable that overrides the choice.
constexpr char kIsaVariable[] = "SNNQUANT_ISA";

// Returns the kernels of the best instruction set that the processor has, or the one that the
// environment asks for. Where that one is unknown or unsupported, returns null and says why.
const Kernels* select_kernels(std::string* problem);

}  // namespace snnquant
