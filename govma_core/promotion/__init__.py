"""What makes a version live: rehearsal, switch, activation, proof, and the way back."""
