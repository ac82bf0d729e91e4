// `make simulate`: clusters of simulated nodes, a life for each seed; what they get wrong, and a hash of all that happened.

import Glibc

@main enum Main {
    static func main() {
        // The order of dictionaries and sets is part of what happens.
        if getenv("SWIFT_DETERMINISTIC_HASHING") == nil {
            setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
            execv("/proc/self/exe", CommandLine.unsafeArgv)
        }

        let arguments = SimulationArguments(CommandLine.arguments.dropFirst())
        print("simulated: \(arguments.description)")
        var (violations, events, hash) = (0, 0, UInt64(0))
        for seed in arguments.seeds {
            let life = live(seed, arguments)
            events += life.events
            hash = (hash ^ life.hash) &* 0x0000_0100_0000_01B3
            var problem = life.problem
            // Chance that comes from elsewhere than the seed would make every other finding worthless.
            if seed % 100 == 0 || arguments.printsTrace {
                let again = live(seed, arguments, isSilent: true)
                if again.hash != life.hash { problem = problem ?? "it went another way when it was run again" }
            }
            guard let problem else { continue }
            violations += 1
            print("seed \(seed): \(problem)")
        }
        print(
            "\(violations) violations in \(arguments.seeds.count) seeds, \(events) events, "
                + "trace \(String(hash, radix: 16))")
        exit(violations == 0 ? 0 : 1)
    }

    private static func live(
        _ seed: UInt64, _ arguments: SimulationArguments, isSilent: Bool = false
    ) -> (problem: String?, events: Int, hash: UInt64) {
        let prints = arguments.printsTrace && !isSilent
        let simulation = Simulation(seed: seed, prints: prints)
        let problem = simulation.run(events: arguments.events)
        simulation.world.clear()
        if prints {
            print("answers: \(list(simulation.answered))")
            print("answers when all was well again: \(list(simulation.answeredInTheEnd))")
            print("faults: \(list(simulation.faults.counts))")
        }
        return (problem, simulation.world.events, simulation.world.trace.hash)
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
