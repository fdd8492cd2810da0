// What libstdc++ calls where an exception has nowhere to go. Its own handler prints the demangled
// name of the exception; the demangler is 50 kB of code, and every callback catches what is thrown.
#include <cstdlib>
#include <exception>

#if defined(__GLIBCXX__)

namespace __gnu_cxx {

void __verbose_terminate_handler() { std::abort(); }

}  // namespace __gnu_cxx

#endif
