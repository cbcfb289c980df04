"""Write a report on a chat and a trained version as one HTML file."""
