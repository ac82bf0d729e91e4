// What is to be simulated: SEEDS=1000 EVENTS=100000 FIRST=1, or SEED=17 for one life and its trace.

struct SimulationArguments {
    private(set) var seeds: ClosedRange<UInt64> = 1...20
    private(set) var events = 100_000
    private(set) var printsTrace = false

    init(_ words: some Sequence<String>) {
        var numbers: [String: UInt64] = [:]
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let number = UInt64(parts[1]), number > 0,
                ["SEEDS", "EVENTS", "FIRST", "SEED"].contains(parts[0])
            else { fatalError("\(word) is not understood: SEEDS=, EVENTS=, FIRST= or SEED= and a number from 1 on") }
            numbers[String(parts[0])] = number
        }
        events = Int(clamping: numbers["EVENTS"] ?? 100_000)
        let first = numbers["FIRST"] ?? 1
        seeds = first...(first + (numbers["SEEDS"] ?? 20) - 1)
        if let seed = numbers["SEED"] {
            seeds = seed...seed
            printsTrace = true
        }
    }

    var description: String {
        "2 to 4 nodes, clocks off by up to 5 %, messages in parts and late, ways cut in one or both directions, connections reset, "
            + "processes stopped and killed, loads struck at their end; items, counters, appends, loads, names of frames used again, jobs, jobs by name, getInParallel; \(events) events a seed"
    }
}
