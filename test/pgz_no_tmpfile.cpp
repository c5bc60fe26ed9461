// Preloaded into pgz by pgz_test.py: makes every file system one that has no O_TMPFILE.

#include <fcntl.h>        // O_CREAT, O_TMPFILE
#include <sys/syscall.h>  // SYS_openat
#include <unistd.h>       // syscall

#include <cerrno>   // EOPNOTSUPP, errno
#include <cstdarg>  // va_arg

extern "C" int openat(int folder, char const* path, int flags, ...) {
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  unsigned mode = 0;
  if ((flags & O_CREAT) != 0) {
    std::va_list more;
    va_start(more, flags);
    mode = va_arg(more, unsigned);
    va_end(more);
  }
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}
