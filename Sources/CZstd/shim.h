// libzstd's compression and dictionary API, as Swift sees it.
#include <zdict.h>
#include <zstd.h>
