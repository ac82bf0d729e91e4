// libzstd's compression API, as Swift sees it.
#include <zstd.h>
