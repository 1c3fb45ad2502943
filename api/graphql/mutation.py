"""Mutations: each is one of REST's writes, and answers when it is committed."""

import strawberry

from api import evaluations, queue, runs
from api.evaluation_schemas import EvaluationIn
from api.graphql.asker import Info
from api.graphql.bounds import checked
from api.graphql.budget import Look
from api.graphql.queue import QueueScope, QueueStatus, scope_in
from api.graphql.runs import Run
from api.graphql.scalars import Priority


@strawberry.input(description="Which models are asked which scenarios of a definition; what is left out is as in REST.")
class StartRunInput:
    """A run over models and scenarios."""

    definition_id: strawberry.ID
    models: list[str]
    sample_percentage: float | None = None
    sample_seed: int | None = None
    priority: Priority | None = None
    experiment_id: str | None = None


@strawberry.type
class Mutation:
    """What can be done; null where `errors` says why it was not."""

    @strawberry.mutation(description="Ask each model each sampled scenario, and then analyse the answers.", extensions=[Look()])
    def start_run(self, info: Info, input: StartRunInput) -> Run | None:
        """Start a run of an evaluation."""
        asker = info.context
        asked = checked(
            {
                "definition": input.definition_id,
                "models": input.models,
                "sample_percentage": input.sample_percentage,
                "sample_seed": input.sample_seed,
                "priority": input.priority and input.priority.value,
                "experiment_id": input.experiment_id,
            },
            EvaluationIn,
            names={"definition": "definitionId"},
        )
        run = evaluations.start_run(
            asked,
            caller=asker.caller,
            registry=asker.registry,
            rates=asker.rates,
            ledger=asker.ledger,
            database=asker.database,
        )
        return Run.of(run)

    @strawberry.mutation(description="Start none of a run's jobs any more; what is being processed goes on.", extensions=[Look()])
    def pause_run(self, info: Info, id: strawberry.ID) -> Run | None:
        """Pause a run."""
        asker = info.context
        return Run.of(runs.pause(id, asker.caller, asker.database, asker.notifier))

    @strawberry.mutation(description="Let a paused run go on.", extensions=[Look()])
    def resume_run(self, info: Info, id: strawberry.ID) -> Run | None:
        """Resume a run."""
        asker = info.context
        return Run.of(runs.resume(id, asker.caller, asker.database, asker.notifier))

    @strawberry.mutation(description="Cancel what is left of a run, for good; what is completed stays.", extensions=[Look()])
    def cancel_run(self, info: Info, id: strawberry.ID) -> Run | None:
        """Cancel a run."""
        asker = info.context
        return Run.of(runs.cancel(id, asker.caller, asker.database, asker.notifier))

    @strawberry.mutation(description="For the operator: start nothing new in a scope, without one anywhere.")
    def pause_queue(self, info: Info, input: QueueScope | None = None) -> QueueStatus | None:
        """Pause the queue."""
        asker = info.context
        done = queue.pause(scope_in(input), caller=asker.caller, database=asker.database, notifier=asker.notifier)
        return QueueStatus.of(done)

    @strawberry.mutation(description="For the operator: end the pause of a scope, without one every pause.")
    def resume_queue(self, info: Info, input: QueueScope | None = None) -> QueueStatus | None:
        """Resume the queue."""
        asker = info.context
        done = queue.resume(scope_in(input), caller=asker.caller, database=asker.database, notifier=asker.notifier)
        return QueueStatus.of(done)
