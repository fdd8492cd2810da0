// Work of one call, cut into blocks of neurons for the session's thread pool.
#include <atomic>
#include <memory>
#include <new>

#include "kernel.h"

namespace snnquant {
namespace {

// Neuron-steps that are worth a task of their own.
constexpr int64_t kTaskInt32 = 1 << 17;
constexpr int64_t kTaskExact = 1 << 13;
// Blocks start at multiples of this, so that threads share no cache line of spikes.
constexpr int64_t kBlockUnit = 64;

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Neurons per task; recurrent neurons of one batch element stay together.
int64_t block_size(const Problem& problem) {
  const int64_t task = problem.fits_int32 ? kTaskInt32 : kTaskExact;
  const int64_t steps = problem.steps > 0 ? problem.steps : 1;
  const int64_t unit = problem.recurrent_weight != nullptr ? problem.neurons : kBlockUnit;
  return round_up((task + steps - 1) / steps, unit);
}

struct Work {
  const Kernels& kernels;
  const Problem& problem;
  int64_t total, block;
  std::atomic<bool> out_of_memory;
};

void run_block(void* data, size_t index) {
  Work& work = *static_cast<Work*>(data);
  const int64_t first = static_cast<int64_t>(index) * work.block;
  const int64_t last = work.total - first < work.block ? work.total : first + work.block;
  const auto bytes = static_cast<size_t>(work.kernels.scratch_bytes(work.problem));
  const std::unique_ptr<char[]> scratch(new (std::nothrow) char[bytes]);
  if (scratch == nullptr) {
    work.out_of_memory = true;
    return;
  }
  work.kernels.run(work.problem, first, last, scratch.get());
}

}  // namespace

void run_parallel(const OrtApi* api, OrtKernelContext* context, const Kernels& kernels,
                  const Problem& problem) {
  const int64_t total = problem.batch * problem.neurons;
  if (total == 0) return;
  Work work{kernels, problem, total, block_size(problem), {false}};
  const auto blocks = static_cast<size_t>((total + work.block - 1) / work.block);
  if (blocks == 1) {
    run_block(&work, 0);
  } else {
    check(api, api::KernelContext_ParallelFor(api, context, run_block, blocks, 0, &work));
  }
  if (work.out_of_memory) throw std::bad_alloc();
}

}  // namespace snnquant
