import WeirBase
import WeirXDS

/// The types of a stream: one type stream each, linked in push order, and in a cohort while it has what others have.
extension Shard {
    func typeStream(of id: SlotID, typeURL: ByteRange, in bytes: borrowing Span<UInt8>) -> Int32 {
        var next = self.links[Int(id.index)].firstType
        // On a service for one type the URL may be left out.
        if typeURL.isEmpty { return self.links[Int(id.index)].isBound ? next : TypeStream.none }
        let mark = TypeView.mark(ofURL: typeURL, in: bytes)
        while next != TypeStream.none {
            if self.typeStreams[Int(next)].typeMark == mark, let url = self.view(of: next)?.typeURLBytes,
                bytes.equals(typeURL, url.span)
            {
                return next
            }
            next = self.typeStreams[Int(next)].next
        }
        return TypeStream.none
    }

    func view(of typeStream: Int32) -> TypeView? { self.views[Int(self.typeStreams[Int(typeStream)].view)] }

    /// Adds a type to a stream, at its place in push order.
    func makeTypeStream(_ id: SlotID, view: Int32, type: XDSType) -> Int32 {
        let index: Int32
        let row = self.views[Int(view)]
        var new = TypeStream(stream: Int32(id.index), view: view, handle: self.streams[id]?.handle ?? 0)
        new.typeMark = row?.typeMark ?? 0
        if let free = self.freeTypeStreams.popLast() {
            index = free
            self.typeStreams[Int(index)] = new
            self.versions[Int(index)] = TypeVersions()
        } else {
            index = Int32(self.typeStreams.count)
            self.typeStreams.append(new)
            self.versions.append(TypeVersions())
        }
        self.typeStreams[Int(index)].streamGeneration = id.generation
        self.link(index, into: Int(id.index), order: type.pushOrder)
        row?.streams += 1
        row?.detached += 1
        return index
    }

    private func link(_ index: Int32, into stream: Int, order: Int) {
        var previous = TypeStream.none
        var next = self.links[stream].firstType
        while next != TypeStream.none, self.view(of: next)?.type.pushOrder ?? 0 <= order {
            previous = next
            next = self.typeStreams[Int(next)].next
        }
        self.typeStreams[Int(index)].next = next
        if previous == TypeStream.none {
            self.links[stream].firstType = index
        } else {
            self.typeStreams[Int(previous)].next = index
        }
        self.links[stream].typeCount += 1
    }

    /// Takes a type off its stream's list.
    func unlink(_ index: Int32, from stream: Int) {
        let following = self.typeStreams[Int(index)].next
        self.links[stream].typeCount -= 1
        if self.links[stream].firstType == index {
            self.links[stream].firstType = following
            return
        }
        var previous = self.links[stream].firstType
        while previous != TypeStream.none {
            let next = self.typeStreams[Int(previous)].next
            if next == index {
                self.typeStreams[Int(previous)].next = following
                return
            }
            previous = next
        }
    }

    func id(ofStream typeStream: Int32) -> SlotID {
        let record = self.typeStreams[Int(typeStream)]
        return SlotID(index: UInt32(record.stream), generation: record.streamGeneration)
    }

    func removeTypeStream(_ index: Int32) {
        let record = self.typeStreams[Int(index)]
        guard let view = self.views[Int(record.view)] else { return }
        self.answerTrial(index, view, .gone)
        self.detach(index)
        self.settle(index)
        view.detached -= 1
        view.waiting.remove(index)
        view.streams -= 1
        if record.subscription != TypeStream.none { view.release(record.subscription) }
        self.dropOwed(index)
        self.caughtUp(index)
        self.notDue(index)
        self.rejections[index] = nil
        self.typeStreams[Int(index)] = TypeStream(stream: TypeStream.none, view: 0, handle: 0)
        self.versions[Int(index)] = TypeVersions()
        self.freeTypeStreams.append(index)
        self.touchedViews.insert(record.view)
    }

    // MARK: Cohort membership

    /// Takes a type stream out of its cohort, remembering what it was sent.
    func detach(_ index: Int32) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)] else { return }
        self.leaveList(record, in: view)
        self.versions[Int(index)].sent = view.cohorts[Int(record.cohort)].version
        // A current cohort holds everything up to now, however long ago its generation was.
        let generation = view.cohorts[Int(record.cohort)].generation
        let isCurrent = generation >= view.subscriptions[Int(record.subscription)]?.changed ?? 0
        self.typeStreams[Int(index)].base = isCurrent ? view.generation : generation
        self.typeStreams[Int(index)].cohort = TypeStream.none
        view.detached += 1
        if view.cohorts[Int(record.cohort)].isEmpty { view.removeCohort(record.cohort) }
    }

    func leaveList(_ record: TypeStream, in view: TypeView) {
        let position = Int(record.position)
        let moved: Int32?
        if record.isInAwaitingList {
            moved = view.cohorts[Int(record.cohort)].awaiting.swapRemove(at: position)
        } else {
            moved = view.cohorts[Int(record.cohort)].idle.swapRemove(at: position)
        }
        if let moved = moved { self.typeStreams[Int(moved)].position = Int32(position) }
    }

    /// Puts a detached type stream into a cohort, on the list that its outstanding responses say.
    func join(_ index: Int32, cohort: Int32, in view: TypeView) {
        let awaiting = self.typeStreams[Int(index)].isAwaiting
        self.typeStreams[Int(index)].cohort = cohort
        self.typeStreams[Int(index)].isInAwaitingList = awaiting
        if awaiting {
            self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)].awaiting.count)
            view.cohorts[Int(cohort)].awaiting.append(index)
        } else {
            self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)].idle.count)
            view.cohorts[Int(cohort)].idle.append(index)
        }
        view.detached -= 1
    }

    /// Moves a member whose responses were all answered to its cohort's idle list.
    func becomeIdle(_ index: Int32, in view: TypeView) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, record.isInAwaitingList else { return }
        let moved = view.cohorts[Int(record.cohort)].becomesIdle(index, at: Int(record.position))
        if let member = moved.member { self.typeStreams[Int(member)].position = record.position }
        self.typeStreams[Int(index)].stands(at: moved.position, awaiting: false)
    }
}
