import Testing
import WeirBase

@testable import weir

private let configs = String(#filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }) + "/configs"

private func usageError(_ arguments: String...) -> String? {
    do {
        _ = try Command(arguments)
        return nil
    } catch {
        return error.message
    }
}

@Suite("Command line")
struct CommandTests {
    @Test("arguments become commands, with values after a space or an equals sign")
    func commands() throws {
        #expect(try Command(["serve", "--config", "a"]) == .serve(config: "a"))
        #expect(try Command(["check", "--config=a=b"]) == .check(config: "a=b"))
        #expect(try Command(["--version"]) == .version)
        #expect(try Command(["help", "explain"]) == .help(.explain))
        #expect(try Command(["explain", "--config", "a", "--help"]) == .help(.explain))
        var options = Command.Explain(config: "a", node: "b")
        #expect(try Command(["explain", "--config", "a", "--node", "b"]) == .explain(options))
        options.type = "cds"
        options.resources = ["x", "y"]
        options.peerSANs = ["s"]
        options.peerAddress = "::1"
        options.isJSON = true
        let arguments = [
            "explain", "--json", "--resources", "x,y", "--peer-san=s", "--peer-address", "::1", "--type=cds", "--node",
            "b", "--config", "a",
        ]
        #expect(try Command(arguments) == .explain(options))
        #expect(
            try Command(["store", "export", "--path", "p", "--key", "k"])
                == .store(Command.Store(action: .export, path: "p", key: "k")))
    }

    @Test("bad usage says what would be right")
    func usage() {
        #expect(
            usageError() == "it needs a command; usage: weir COMMAND [OPTIONS], see weir --help")
        #expect(usageError("chek") == "unknown command \"chek\"; did you mean \"check\"?")
        #expect(usageError("--versoin") == "unknown option \"--versoin\"; did you mean \"--version\"?")
        #expect(usageError("check") == "check: it needs --config FILE")
        #expect(usageError("check", "--config", "") == "check: it needs --config FILE")
        #expect(usageError("check", "--config") == "check: --config needs a value")
        #expect(
            usageError("check", "--confg", "a") == "check: unknown option \"--confg\"; did you mean \"--config\"?")
        #expect(usageError("check", "a.yaml") == "check: unexpected \"a.yaml\"; options begin with --")
        #expect(usageError("check", "--config", "a", "--config", "b") == "check: --config is given twice")
        #expect(usageError("explain", "--json=1", "--config", "a") == "explain: --json takes no value")
        #expect(usageError("explain", "--config", "a") == "explain: it needs --node FILE")
        #expect(usageError("store") == "store: it needs an action: inspect, verify, export")
        #expect(usageError("store", "melt") == "store: unknown action \"melt\"; known are inspect, verify, export")
        #expect(usageError("store", "verify") == "store verify: it needs --config FILE, or --path PATH")
        #expect(
            usageError("store", "verify", "--config", "a", "--path", "b")
                == "store verify: --config and --path both say where the store is: give one")
        #expect(usageError("help", "sevre") == "there is no command \"sevre\"; did you mean \"serve\"?")
        let result = run(["chek"], environment: [:])
        #expect(result.status == 2 && result.output.isEmpty && result.errors.hasPrefix("weir: unknown command"))
    }

    @Test("help and version answer on standard output, and no line is too long for a terminal")
    func help() {
        #expect(run(["--version"], environment: [:]) == CommandResult(output: "weir \(weirVersion)\n"))
        let topics = Command.Topic.allCases.map { ["help", $0.rawValue] }
        for arguments in topics + [["--help"], ["help"], ["serve", "--help"], ["check", "-h"], ["store", "-h"]] {
            let result = run(arguments, environment: [:])
            #expect(result.status == 0 && result.errors.isEmpty && result.output.contains("weir"))
            #expect(
                result.output.hasSuffix("\n") && result.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
        }
    }

    @Test("check prints OK, or every error and status 2")
    func check() {
        let good = run(["check", "--config", "\(configs)/minimal.yaml"], environment: [:])
        #expect(good == CommandResult(output: "OK\n"))
        let bad = run(["check", "--config", "\(configs)/invalid/unknown-fields.yaml"], environment: [:])
        #expect(bad.status == 2 && bad.errors.isEmpty)
        #expect(bad.output.split(separator: "\n").count == 10)
    }

    @Test("explain answers 0 for a key, 1 where no rule matches, 2 for what it cannot read")
    func explain() {
        func explain(_ more: String...) -> CommandResult {
            run(["explain", "--config", "\(configs)/minimal.yaml"] + more, environment: [:])
        }
        // JSON is YAML, and so is this project's own minimal file: a node with unknown fields.
        let odd = explain("--node", "\(configs)/minimal.yaml")
        #expect(odd.status == 2 && odd.errors.contains("upstreams: unknown field"))
        #expect(explain("--node", "/nonexistent").status == 2)
        let none = explain("--node", "/dev/null")
        #expect(none.status == 2 && none.errors.contains("expected a mapping"))
    }
}
