// The library's one exported function.
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../isa/dispatch.h"
#include "custom_op.h"
#include "failure.h"

#if defined(_WIN32)
#define SNNQUANT_EXPORT __declspec(dllexport)
#else
#define SNNQUANT_EXPORT __attribute__((visibility("default")))
#endif

namespace snnquant {
namespace {

// The ops as one loaded runtime knows them. Sessions keep pointers to it, so it is never freed; a
// process has one per runtime that it has loaded.
struct Registry {
  const OrtApi* api;
  std::atomic<const Isa*> isa;
  std::vector<CustomOp> ops;
  OrtCustomOpDomain* domain = nullptr;

  Registry(const OrtApi* the_api, const Isa* the_isa) : api(the_api), isa(the_isa) {
    check(api, api::CreateCustomOpDomain(api, kDomain, &domain));
    ops.reserve(span(kOps).size);
    for (const OpEntry& entry : kOps) {
      ops.push_back(make_custom_op(entry, api, &isa));
      check(api, api::CustomOpDomain_Add(api, domain, &ops.back()));
    }
  }
};

Registry& registry_of(const OrtApi* api, const Isa* isa) {
  static std::mutex mutex;
  static auto& registries = *new std::vector<Registry*>;
  const std::lock_guard<std::mutex> lock(mutex);
  for (Registry* registry : registries) {
    if (registry->api == api) {
      registry->isa = isa;
      return *registry;
    }
  }
  registries.push_back(nullptr);
  try {
    registries.back() = new Registry(api, isa);
  } catch (...) {
    registries.pop_back();
    throw;
  }
  return *registries.back();
}

}  // namespace
}  // namespace snnquant

extern "C" SNNQUANT_EXPORT snnquant::OrtStatus* RegisterCustomOps(
    snnquant::OrtSessionOptions* options, const snnquant::OrtApiBase* base) {
  using namespace snnquant;
  const OrtApi* api = base->GetApi(kApiVersion);
  if (api == nullptr) {
    // The first version has what reporting needs, at the same places.
    const OrtApi* oldest = base->GetApi(1);
    return guarded(oldest, [&] {
      throw Failure(std::string("the snnquant ops need ONNX Runtime 1.17 or newer, this is ") +
                        base->GetVersionString() +
                        "; update it, or run the model without the custom-op library",
                    kCodeFail);
    });
  }
  return guarded(api, [&] {
    std::string problem;
    const Isa* isa = select_isa(&problem);
    if (isa == nullptr) throw Failure(problem);
    check(api, api::AddCustomOpDomain(api, options, registry_of(api, isa).domain));
  });
}
