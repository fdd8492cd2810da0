// Shapes of tensors and access to their data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi.h"
#include "failure.h"

namespace snnquant {

using Shape = std::vector<int64_t>;

inline Shape shape_of(const OrtApi* api, const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  check(api, api::GetDimensionsCount(api, info, &rank));
  Shape shape(rank);
  check(api, api::GetDimensions(api, info, shape.data(), rank));
  return shape;
}

inline Shape shape_of(const OrtApi* api, const OrtValue* value) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  check(api, api::GetTensorTypeAndShape(api, value, &info));
  try {
    Shape shape = shape_of(api, info);
    api::ReleaseTensorTypeAndShapeInfo(api, info);
    return shape;
  } catch (...) {
    api::ReleaseTensorTypeAndShapeInfo(api, info);
    throw;
  }
}

template <class T>
T* data_of(const OrtApi* api, OrtValue* value) {
  void* data = nullptr;
  check(api, api::GetTensorMutableData(api, value, &data));
  return static_cast<T*>(data);
}

template <class T>
const T* data_of(const OrtApi* api, const OrtValue* value) {
  return data_of<T>(api, const_cast<OrtValue*>(value));
}

inline int64_t product(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

inline std::string text_of(const Shape& shape) {
  std::string text = "[";
  for (size_t k = 0; k < shape.size(); ++k) {
    if (k > 0) text += ",";
    text += std::to_string(shape[k]);
  }
  return text + "]";
}

}  // namespace snnquant
