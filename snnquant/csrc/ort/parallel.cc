// Work of one call on the session's thread pool.
#include <atomic>
#include <memory>
#include <new>

#include "node.h"

namespace snnquant {
namespace {

// Memory that a thread keeps from call to call, as large as the largest piece of work needed.
class ThreadScratch {
 public:
  // Returns null where there is no memory.
  void* reserve(int64_t bytes) {
    if (bytes > size_) {
      memory_.reset(new (std::nothrow) char[static_cast<size_t>(bytes)]);
      size_ = memory_ == nullptr ? 0 : bytes;
    }
    return memory_.get();
  }

 private:
  std::unique_ptr<char[]> memory_;
  int64_t size_ = 0;
};

struct Call {
  const ParallelWork& work;
  int64_t scratch_bytes;
  std::atomic<bool> out_of_memory;
};

void run_one(void* data, size_t index) {
  static thread_local ThreadScratch scratch;
  Call& call = *static_cast<Call*>(data);
  void* memory = scratch.reserve(call.scratch_bytes);
  if (memory == nullptr) {
    call.out_of_memory = true;
    return;
  }
  call.work.run(static_cast<int64_t>(index), memory);
}

}  // namespace

void run_parallel(const OrtApi* api, OrtKernelContext* context, const ParallelWork& work,
                  int64_t count, int64_t scratch_bytes) {
  Call call{work, scratch_bytes > 0 ? scratch_bytes : 1, {false}};
  if (count == 1) {
    run_one(&call, 0);
  } else if (count > 1) {
    check(api, api::KernelContext_ParallelFor(api, context, run_one, static_cast<size_t>(count), 0,
                                              &call));
  }
  if (call.out_of_memory) throw std::bad_alloc();
}

}  // namespace snnquant
