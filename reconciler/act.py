"""Carry out one action. Decides nothing: what charon refuses becomes an Outcome, bugs propagate."""

from reconciler.core.actions import (
    Action,
    DropSecret,
    EndChild,
    EndIke,
    Load,
    Outcome,
    Redial,
    RekeyChild,
    RekeyIke,
    Remove,
    StartChild,
)
from reconciler.errors import IkeRefused, IkeUnreachable
from reconciler.ports import Ike


def act(action: Action, ike: Ike) -> Outcome:
    """Return what became of the action. The order of requests is the safety of each case."""
    try:
        match action:
            case Load(connection=connection):
                # The secret carries the mark and comes last: a half-done load shows as drift.
                ike.load_connection(connection.name, connection.settings)
                if connection.spare_psk is not None:
                    spare_id = connection.spare_secret_id
                    ike.load_secret(spare_id, connection.remote_id, connection.spare_psk)
                ike.load_secret(connection.secret_id, connection.remote_id, connection.psk)
                for secret_id in action.outdated_secret_ids:
                    ike.unload_secret(secret_id)
            case Remove():
                # Without a connection nobody gets in, so no SA can come back after end_all; the
                # secret goes last, because its mark tells a successor that we were not done.
                ike.unload_connection(action.name)
                ike.end_all(action.name)
                for secret_id in action.secret_ids:
                    ike.unload_secret(secret_id)
            case StartChild():
                ike.start_child(action.name, action.child_name)
            case Redial():
                _redial(action, ike)
            case RekeyIke():
                ike.rekey_ike(action.unique_id)
            case RekeyChild():
                ike.rekey_child(action.unique_id)
            case EndChild():
                ike.end_child(action.unique_id)
            case EndIke():
                ike.end_ike(action.unique_id)
            case DropSecret():
                ike.unload_secret(action.secret_id)
    except IkeRefused as error:
        return Outcome(action, str(error))
    except IkeUnreachable as error:
        return Outcome(action, str(error), unreachable=True)
    return Outcome(action)


def _redial(action: Redial, ike: Ike) -> None:
    """Dial where the peer is seen now. An attempt under way keeps the settings it began with."""
    connection = action.connection
    towards = connection.towards(action.remote_host, action.remote_port, action.instead_of)
    ike.load_connection(connection.name, towards)
    try:
        ike.start_child(connection.name, connection.child_name)
    finally:
        ike.load_connection(connection.name, connection.settings)
