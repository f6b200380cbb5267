import Testing
import WeirBase

@testable import WeirLoop

@Suite("Path watcher")
struct PathWatcherTests {
    enum Change: String, CaseIterable, Sendable {
        case edit, renameOver, removal, creation, linkSwap, folderEntry, subfolderEntry, newSubfolderEntry
    }

    @Test("tells every kind of change, well before its slow look", arguments: Change.allCases)
    func tells(change: Change) {
        let folder = TemporaryFolder()
        folder.write("file", "one")
        folder.makeFolder("sub")
        folder.makeFolder("..2026_1")
        folder.makeFolder("..2026_2")
        folder.write("..2026_1/cert", "one")
        folder.write("..2026_2/cert", "two")
        folder.link("..data", to: "..2026_1")
        folder.link("cert", to: "..data/cert")
        let name =
            switch change {
            case .edit, .renameOver, .removal: "/file"
            case .creation: "/later"
            case .linkSwap: "/cert"
            case .folderEntry, .subfolderEntry, .newSubfolderEntry: ""
            }
        let loop = Loop()
        let started = loop.now
        let watcher = PathWatcher(loop: loop, path: folder.path + name) { [unowned loop] in loop.stop() }
        self.apply(change, in: folder)
        withExtendedLifetime(watcher) { runBounded(loop) }
        #expect(Loop.monotonicNow() - started < PathWatcher.lookInterval, "only the slow look saw it")
    }

    private func apply(_ change: Change, in folder: TemporaryFolder) {
        switch change {
        case .edit: folder.write("file", "two")
        case .renameOver:
            folder.write("file.new", "two")
            folder.rename("file.new", to: "file")
        case .removal: folder.rename("file", to: "gone")
        case .creation: folder.write("later", "new")
        case .linkSwap:
            folder.link("..data.new", to: "..2026_2")
            folder.rename("..data.new", to: "..data")
        case .folderEntry: folder.write("another", "new")
        case .subfolderEntry: folder.write("sub/another", "new")
        case .newSubfolderEntry:
            folder.makeFolder("fresh")
            folder.write("fresh/another", "new")
        }
    }

    @Test("a log beside a watched folder, written whenever it is told, does not make it tell again")
    func neighbourOfFolder() {
        let folder = TemporaryFolder()
        folder.makeFolder("watched")
        folder.write("watched/file", "one")
        let loop = Loop()
        var told = 0
        let watcher = PathWatcher(loop: loop, path: folder.path + "/watched") {
            told += 1
            folder.write("log", "told \(told) times")
        }
        folder.write("watched/file", "two")
        let end = loop.now + .milliseconds(500)
        let timer = TimerWatcher(loop: loop) { [unowned loop] in if loop.now > end { loop.stop() } }
        timer.start(after: .zero, every: .milliseconds(10))
        withExtendedLifetime(watcher) { runBounded(loop) }
        timer.cancel()
        #expect(told == 1)
    }

    @Test("a burst is told once, a neighbour not at all, and the watch goes on after a rename over")
    func burst() {
        let folder = TemporaryFolder()
        folder.write("file", "one")
        let loop = Loop()
        var told = 0
        let watcher = PathWatcher(loop: loop, path: folder.path + "/file") { told += 1 }
        var steps: [(toldAfter: Int, work: () -> Void)] = [
            (1, { for round in 0..<10 { folder.write("file", "round \(round)") } }),
            (1, { folder.write("neighbour", "x") }),
            (
                2,
                {
                    folder.write("new", "three")
                    folder.rename("new", to: "file")
                }
            ),
            (3, { folder.write("file", "in place") }),
        ]
        var counts: [Int] = []
        var wanted = 0
        var changed = loop.now
        // The next step comes once the last was told, and long enough after it that a second telling would have come.
        let timer = TimerWatcher(loop: loop) { [unowned loop] in
            guard told >= wanted, loop.now - changed >= .milliseconds(200) else { return }
            counts.append(told)
            guard !steps.isEmpty else { return loop.stop() }
            let step = steps.removeFirst()
            wanted = step.toldAfter
            changed = loop.now
            step.work()
        }
        timer.start(after: .zero, every: .milliseconds(10))
        withExtendedLifetime(watcher) { runBounded(loop) }
        #expect(counts == [0, 1, 1, 2, 3])
    }

    @Test("a file in a folder that does not exist yet is found by the slow look's fingerprint")
    func missingFolder() {
        let folder = TemporaryFolder()
        let before = PathFingerprint(of: folder.path + "/sub/file")
        folder.makeFolder("sub")
        folder.write("sub/file", "x")
        #expect(before != PathFingerprint(of: folder.path + "/sub/file"))
    }
}
