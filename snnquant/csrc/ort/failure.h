// Errors inside the library are exceptions; at its border each becomes one OrtStatus.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "abi.h"

namespace snnquant {

// What is wrong, where, and what to do about it.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message, int code = kCodeInvalidArgument)
      : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// Turns a failed call of the interface into a Failure.
inline void check(const OrtApi* api, OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = api::GetErrorMessage(api, status);
  api::ReleaseStatus(api, status);
  throw Failure(message, kCodeFail);
}

// Runs the body of a callback; nothing that it throws gets out.
template <class Body>
OrtStatus* guarded(const OrtApi* api, Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Failure& failure) {
    return api::CreateStatus(api, failure.code(), failure.what());
  } catch (const std::bad_alloc&) {
    return api::CreateStatus(api, kCodeFail, "snnquant: out of memory; use a smaller batch");
  } catch (const std::exception& error) {
    return api::CreateStatus(api, kCodeFail, error.what());
  } catch (...) {
    return api::CreateStatus(api, kCodeFail, "snnquant: unknown error inside a custom op");
  }
}

}  // namespace snnquant
