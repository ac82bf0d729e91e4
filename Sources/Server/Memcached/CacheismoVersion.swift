// The versions this program answers with, in one place.

package enum CacheismoVersion {
    /// Our own.
    package static let product = "0.1.0"
    /// The memcached whose protocol and answers we follow; what `version` says, as clients parse it.
    package static let memcached = "1.6.45"
}
