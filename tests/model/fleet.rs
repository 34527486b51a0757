//! The fleet: replicas of two regions, one database, validators. Every decision about keys is the domain's; what stands
//! around it here is what `services`, `signing::signer` and `worker` do.

use workspace_sts::domain::credential_method::AllowedMethods;
use workspace_sts::domain::ids::{ClientId, ObjectId, TenantId};
use workspace_sts::domain::issuance::{self, Target, TokenRandom};
use workspace_sts::domain::lifetime::TokenLifetime;
use workspace_sts::domain::principal::ServicePrincipal;
use workspace_sts::domain::region::{Region, Regions};
use workspace_sts::domain::signing_key::{self, Aftermath, KeyRow, KeyState, Step};

use super::database::{Database, Refused, number};
use super::facts::{Check, Commit, Emergency, KeyFacts, RegionFacts, Signature, Watch};
use super::lengths::{C, HALF, Lengths, Millis, POLL, SECOND, at, millis};
use super::replica::{Answer, Replica};
use super::validators::{Validator, mix};

struct Pending {
    by: usize,
    region: Region,
    work: Work,
    steps: Vec<Step>,
    aftermath: Aftermath,
    offset: Millis,
    decided_at: Millis,
    due: Millis,
    /// Whoever sent it is dead; the database has it.
    is_orphan: bool,
}

/// What may be done slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Tend,
    Revoke { kid: usize },
    Rotate,
}

pub struct Fleet {
    pub lengths: Lengths,
    pub now: Millis,
    pub database: Database,
    pub replicas: Vec<Replica>,
    pub validators: Vec<Validator>,
    pub answers: Vec<Answer>,
    pub keys: Vec<KeyFacts>,
    pub regions: [RegionFacts; 2],
    pub failed_over_at: Millis,
    pending: Vec<Pending>,
    /// Replicas that look just before the next commit and are cut off then.
    pub cut_at_commit: Vec<usize>,
    principal: ServicePrincipal,
    issuer: issuance::Policy,
}

pub fn region(index: usize) -> Region {
    Region::parse(if index == 0 { "west" } else { "north" }).expect("lawful")
}

pub fn index_of(region: &Region) -> usize {
    usize::from(region.as_str() != "west")
}

impl Fleet {
    pub fn new(lengths: Lengths, seed: u64) -> Self {
        let now = 1_700_000_000_000;
        let id = uuid::Uuid::from_u128(1);
        let principal = ServicePrincipal {
            object_id: ObjectId::from_uuid(id),
            client_id: ClientId::from_uuid(id),
            tenant_id: TenantId::from_uuid(id),
            display_name: "caller".to_owned(),
            enabled: true,
            allowed_methods: AllowedMethods::ALL,
            created_at: at(now),
        };
        let issuer = issuance::Policy {
            issuer: "https://sts.example".to_owned(),
            region: region(0),
            regions: Regions::default(),
            default_lifetime: TokenLifetime::DEFAULT,
            gateway_leeway: chrono::Duration::seconds(lengths.leeway.into()),
        };
        Self {
            lengths,
            now,
            database: Database::empty(now - SECOND),
            replicas: Vec::new(),
            validators: (0..3).map(|n| Validator { seed: seed.wrapping_add(n), copy: None }).collect(),
            answers: Vec::new(),
            keys: Vec::new(),
            regions: Default::default(),
            failed_over_at: now,
            pending: Vec::new(),
            cut_at_commit: Vec::new(),
            principal,
            issuer,
        }
    }

    /// Time passes, in small steps near the boundaries of every key.
    pub fn wait(&mut self, by: Millis, watch: &mut dyn Watch) -> Check {
        let end = self.now + by;
        while self.now < end {
            let step = self.step().min(end - self.now);
            self.now += step;
            self.replicas.iter_mut().for_each(|replica| replica.advance(step));
            self.work(watch)?;
            self.look(watch)?;
        }
        Ok(())
    }

    fn step(&self) -> Millis {
        let mut step = self.lengths.stride;
        for pending in &self.pending {
            step = step.min((pending.due - self.now).max(HALF));
        }
        let rows = self.database.rows();
        for life in rows.iter().map(|row| row.key.life) {
            for boundary in [life.sign_from, life.sign_until, life.remove_at] {
                let boundary = boundary.timestamp_millis();
                for near in [-2 * C, -C, 0, C, 2 * C] {
                    let ahead = boundary + near - self.now;
                    if (-SECOND..=SECOND).contains(&ahead) {
                        return HALF;
                    }
                    if ahead > 0 {
                        step = step.min((ahead - SECOND).max(HALF));
                    }
                }
            }
        }
        step
    }

    /// Workers, each in its phase, then the database.
    pub fn work(&mut self, watch: &mut dyn Watch) -> Check {
        for turn in 0..self.replicas.len() {
            let by = (turn + self.now as usize / 500) % self.replicas.len();
            // A worker that waits for its write does nothing else.
            let (now, reaches) = (self.now, self.reaches(by) && !self.is_busy(by));
            let replica = &mut self.replicas[by];
            if !(replica.is_running || replica.is_wanted && reaches) {
                continue;
            }
            if reaches {
                replica.compare_clock(now);
                if !replica.is_running {
                    replica.is_running = replica.confirmed().is_some();
                    replica.tend_at = now;
                }
                replica.contact_at = now;
            }
            let able = replica.is_running && reaches && replica.confirmed().is_some();
            replica.able_since = able.then(|| replica.able_since.unwrap_or(now));
            if replica.is_running && reaches && !able && now >= replica.tend_at {
                // By a wrong clock it plans nothing, and obeys what it reads.
                replica.tend_at = now + POLL;
                let rows = self.database.rows();
                self.replicas[by].read(rows, now);
            } else if able && now >= replica.tend_at {
                self.start(Work::Tend, by, 0, watch)?;
            }
        }
        self.settle(watch)
    }

    fn is_busy(&self, by: usize) -> bool {
        self.pending.iter().any(|p| p.by == by && p.work == Work::Tend && !p.is_orphan)
    }

    pub fn reaches(&self, by: usize) -> bool {
        self.database.is_up && !self.replicas[by].is_cut
    }

    /// Reads, decides, and sends the transaction, which takes a while.
    pub fn start(&mut self, work: Work, by: usize, takes: Millis, watch: &mut dyn Watch) -> Check {
        let replica = &self.replicas[by];
        let cannot = work == Work::Tend && (!replica.is_running || self.is_busy(by));
        if cannot || !self.reaches(by) || replica.offset.abs() > C {
            return Ok(());
        }
        if work == Work::Tend && replica.confirmed().is_none() {
            return Ok(());
        }
        let (rows, own, clock) =
            (self.database.rows(), replica.region.clone(), at(self.now + replica.offset));
        let policy = &self.lengths.policy;
        let decided = match work {
            Work::Tend => {
                self.replicas[by].tend_at = self.now + POLL;
                Some((signing_key::plan(&rows, &own, policy, clock), Aftermath::Unchanged, own))
            }
            Work::Revoke { kid } => {
                let home = self.keys[kid].region.clone();
                let done = signing_key::revoke(&rows, &kid.to_string(), Some(&own), policy, clock);
                done.ok().map(|done| (done.steps, done.aftermath, home))
            }
            Work::Rotate => {
                let done = signing_key::rotate(&rows, &own, Some(&own), policy, clock);
                done.ok().map(|done| (done.steps, done.aftermath, own))
            }
        };
        let Some((steps, aftermath, region)) = decided else { return Ok(()) };
        if steps.is_empty() {
            self.replicas[by].read(rows, self.now);
            self.regions[index_of(&region)].tended.push(self.now);
            return Ok(());
        }
        let (decided_at, offset) = (self.now, self.replicas[by].offset);
        let due = decided_at + takes;
        let is_orphan = false;
        self.pending.push(Pending { by, region, work, steps, aftermath, offset, decided_at, due, is_orphan });
        self.settle(watch)
    }

    /// What is due is committed, or refused.
    fn settle(&mut self, watch: &mut dyn Watch) -> Check {
        while let Some(next) = self.pending.iter().position(|pending| pending.due <= self.now) {
            let pending = self.pending.remove(next);
            let reaches = self.database.is_up && (pending.is_orphan || self.reaches(pending.by));
            if !reaches {
                continue;
            }
            for by in std::mem::take(&mut self.cut_at_commit) {
                let rows = self.database.rows();
                let replica = &mut self.replicas[by];
                // Only one that looks without having to do anything.
                if replica.ring.is_some() && !replica.is_cut && by != pending.by {
                    replica.read(rows, self.now);
                    (replica.is_cut, replica.able_since, replica.contact_at) = (true, None, self.now);
                }
            }
            self.commit(&pending, watch)?;
        }
        Ok(())
    }

    fn commit(&mut self, pending: &Pending, watch: &mut dyn Watch) -> Check {
        let before = self.database.rows();
        let is_intervention = pending.work != Work::Tend;
        match self.database.commit(&pending.region, &pending.steps, self.now) {
            Ok(created) => self.remember(pending, created),
            Err(Refused::Conflict) if !is_intervention => return self.read_back(pending),
            // Decided anew.
            Err(Refused::Conflict | Refused::Stale) if is_intervention && !pending.is_orphan => {
                return self.start(pending.work, pending.by, 0, watch);
            }
            Err(_) => return Ok(()),
        }
        let now = self.now;
        for (other, replica) in self.replicas.iter_mut().enumerate() {
            // NOTIFY reaches some at once; the others look when they look.
            if other != pending.by && mix(other as u64, now) & 1 == 0 {
                replica.tend_at = now;
            }
        }
        let commit = Commit { by: pending.by, before, is_intervention, offset: pending.offset };
        watch.committed(self, &commit)?;
        self.read_back(pending)
    }

    fn read_back(&mut self, pending: &Pending) -> Check {
        if pending.work == Work::Tend && !pending.is_orphan {
            let rows = self.database.rows();
            self.replicas[pending.by].read(rows, self.now);
            if pending.decided_at == self.now {
                self.regions[index_of(&pending.region)].tended.push(self.now);
            }
        }
        Ok(())
    }

    fn remember(&mut self, pending: &Pending, created: Vec<KeyRow>) {
        let (now, lead) = (self.now, self.lengths.policy.lead);
        let facts = &mut self.regions[index_of(&pending.region)];
        match pending.work {
            Work::Revoke { kid } => {
                facts.revoked.push(now);
                self.keys[kid].was_revoked = true;
            }
            Work::Rotate => facts.rotated.push(now),
            Work::Tend => {}
        }
        let last_revoked = facts.revoked.last().copied();
        for row in created {
            assert_eq!(number(&row), self.keys.len(), "kids are given in order");
            let life = row.key.life;
            let is_short = life.sign_from < life.published_at + lead;
            self.keys.push(KeyFacts {
                region: row.key.region,
                committed_at: now,
                life,
                is_lost: false,
                was_revoked: false,
                emergency: last_revoked.filter(|_| is_short).map(|at| Emergency { at, known_at: 0 }),
                last_signed: None,
                tokens_end: 0,
            });
        }
        if let (Work::Revoke { .. }, Aftermath::Successor { kid, known_at }) =
            (pending.work, &pending.aftermath)
        {
            let kid: usize = kid.parse().expect("a number");
            self.keys[kid].emergency = Some(Emergency { at: now, known_at: known_at.timestamp_millis() });
        }
    }

    /// Everybody is asked for everything at this instant.
    pub fn look(&mut self, watch: &mut dyn Watch) -> Check {
        let (lengths, now) = (self.lengths, self.now);
        let each = self.replicas.iter().enumerate();
        self.answers = each.filter_map(|(n, replica)| replica.answer(n, &lengths, now)).collect();
        watch.answered(self)?;
        for validator in &mut self.validators {
            validator.look(&self.answers, now);
        }
        for signer in 0..self.replicas.len() {
            let Some(signature) = self.sign(signer) else { continue };
            if let Some(exp) = signature.exp {
                let facts = &mut self.keys[signature.kid];
                facts.last_signed = Some(now);
                let end = (exp + i64::from(lengths.leeway)) * SECOND;
                facts.tokens_end = facts.tokens_end.max(end);
            }
            watch.signed(self, &signature)?;
        }
        watch.instant(self)
    }

    /// `services::issue_token`, from the grace of the directory to the mint.
    fn sign(&self, by: usize) -> Option<Signature> {
        let replica = &self.replicas[by];
        if !replica.is_running || self.now - replica.contact_at > self.lengths.grace {
            return None;
        }
        let clock = replica.confirmed()?;
        // `Core::confirmed_keys`.
        if self.now - replica.ring.as_ref()?.read_at > self.lengths.grace {
            return None;
        }
        let row = replica.active(clock)?.clone();
        let random = TokenRandom { token_id: [0; 16], refresh_spread: 0.5 };
        let (target, end) = (Target::Management, row.key.life.remove_at);
        let life = self.lengths.token;
        let minted = issuance::mint(&self.issuer, &self.principal, &target, life, (clock, random), end);
        let (kid, read_at) = (number(&row), replica.ring.as_ref()?.read_at);
        Some(Signature { replica: by, row, kid, exp: minted.ok().map(|claims| claims.exp), read_at })
    }

    /// A process starts, and its first write takes a while.
    pub fn run_slowly(&mut self, by: usize, takes: Millis, watch: &mut dyn Watch) -> Check {
        let (now, reaches) = (self.now, self.reaches(by));
        let replica = &mut self.replicas[by];
        if replica.is_running || !reaches || replica.offset.abs() > C {
            return Ok(());
        }
        replica.compare_clock(now);
        (replica.is_running, replica.is_wanted, replica.contact_at) = (true, true, now);
        self.start(Work::Tend, by, takes, watch)
    }

    /// The process dies; what it had sent to the database may be committed all the same.
    pub fn kill(&mut self, by: usize, is_sent: bool) {
        self.replicas[by].kill();
        if is_sent {
            self.pending.iter_mut().filter(|p| p.by == by).for_each(|p| p.is_orphan = true);
        } else {
            self.pending.retain(|pending| pending.by != by);
        }
    }

    pub fn fail_over(&mut self, watch: &mut dyn Watch) -> Check {
        let since = self.now - self.lengths.loss;
        self.pending.clear();
        self.failed_over_at = self.now;
        let lost = self.database.fail_over(since);
        for kid in &lost {
            self.keys[*kid].is_lost = true;
        }
        for facts in &mut self.regions {
            for times in [&mut facts.tended, &mut facts.revoked, &mut facts.rotated] {
                times.retain(|time| *time <= since);
            }
        }
        watch.failed_over(self, &lost)
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.database.is_up = true;
        self.cut_at_commit.clear();
        for replica in &mut self.replicas {
            (replica.is_cut, replica.is_wanted) = (false, true);
            replica.set_clock(replica.offset.clamp(-C, C));
        }
    }

    /// Rows of a region in the database, by generation.
    pub fn rows_of(&self, index: usize) -> Vec<KeyRow> {
        let name = region(index);
        self.database.rows().iter().filter(|row| row.key.region == name).cloned().collect()
    }

    pub fn count(&self, index: usize, state: KeyState) -> usize {
        let now = at(self.now);
        self.rows_of(index).iter().filter(|row| row.key.life.state(now) == state).count()
    }

    pub fn retire_after(&self) -> Millis {
        millis(self.lengths.policy.retire_after())
    }
}
