// Binary search.

/// How many of the first `count` places are `isBefore`, where all that follow are not. Cost: a look at one place for each
/// doubling of `count`.
@inline(__always)
package func partitionPoint(_ count: Int, _ isBefore: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
        let middle = (low &+ high) &>> 1  // below `high`, so within `count`
        if isBefore(middle) { low = middle &+ 1 } else { high = middle }
    }
    return low
}
